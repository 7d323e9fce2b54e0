"""A wrong clock for one process: what Python code reads as the time of day is shifted.

A file `clock/SERVICE` in the folder of LIFEMASK_TEST_CRASHES holds the seconds; it is read at the start of a process.
Shifted are `time.time`, `time.time_ns`, `datetime.now`, `utcnow` and `today`: every reading of the time of day in our
code and in the libraries that are Python, so event times, statements, expiries of addresses, retention and signatures
of webhooks. Not shifted are what C code reads by itself (TLS, for one) and the monotonic clock, which a step of the
real one leaves alone as well. PostgreSQL, Kafka, the store and everybody outside keep the true time.
"""

import datetime as dt
import os
import time
from datetime import datetime as Real  # noqa: N812  the true one, as a base
from pathlib import Path
from typing import Any, Self

FOLDER = "LIFEMASK_TEST_CRASHES"  # as in crashing.py, which must not be imported before the clock is set


def set_clock(folder: Path, service: str, seconds: float) -> None:
    """What the next process of the service takes for the time is so much ahead (below zero: behind)."""
    (place := folder / "clock").mkdir(exist_ok=True)
    (place / service).write_text(str(seconds))


def shift(service: str) -> None:
    """Shifts this process's clock when a file says so."""
    try:
        seconds = float((Path(os.environ[FOLDER]) / "clock" / service).read_text())
    except FileNotFoundError:
        return
    if seconds:
        _shift(seconds)


def _shift(seconds: float) -> None:
    true_time, true_ns = time.time, time.time_ns
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_ns() + int(seconds * 1e9)

    class AnyDateTime(type):
        """What C code makes is of the real class, and must pass for one of ours."""

        def __instancecheck__(cls, item: object) -> bool:
            return isinstance(item, Real)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, Real)

    class Shifted(Real, metaclass=AnyDateTime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return Real.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return Real.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return Real.fromtimestamp(time.time())  # noqa: DTZ006  as the original: the local time

        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            return Real(*args, **kwargs)  # type: ignore[return-value] # noqa: DTZ001  C code wants the real class

    Shifted.__name__ = Shifted.__qualname__ = "datetime"
    dt.datetime = Shifted  # type: ignore[misc]
