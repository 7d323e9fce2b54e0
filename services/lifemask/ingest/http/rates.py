"""How often one caller may ask: a bucket of requests for each app and each user, in this process.

A bucket holds what comes in `BURST` seconds, so that a page may ask many things at once.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from lifemask.ingest.http.problems import Problem

BURST: Final = 4.0
"""Seconds' worth of requests at once."""
_REMEMBERED: Final = 100_000
"""Callers; whoever was not heard of for longest begins with a full bucket again."""


class Rates:
    """At most `rate` requests a second of each caller, in the long run."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._full = max(rate * BURST, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def give_back(self, caller: str) -> None:
        """A request that was counted is refused for another reason."""
        left, seen = self._buckets.get(caller, (self._full, self._clock()))
        self._buckets[caller] = (min(left + 1, self._full), seen)

    def count(self, caller: str) -> None:
        """Counts a request. Answers 429 with the seconds to wait when the bucket is empty."""
        now = self._clock()
        left, seen = self._buckets.pop(caller, (self._full, now))
        left = min(left + (now - seen) * self._rate, self._full)
        self._buckets[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            raise _too_many(math.ceil((1 - left) / self._rate))


def _too_many(seconds: int) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_requests",
        "More requests came than one caller may send.",
        f"Wait {seconds} s and send the request again, and send fewer at once.",
        headers={"Retry-After": str(max(seconds, 1))},
    )
