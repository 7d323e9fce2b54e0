"""A bound on how many long requests of one kind a process serves at once, and how many of them for one user."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import cycle
from typing import Final

from lifemask.ingest.http.problems import Problem

_COME_AGAIN: Final = (2, 3, 4, 5)
"""Seconds after which those who are refused are told to come again, in turn: not all of them at one moment."""


class Places:
    """So many at once, `each` of them for one user; the next one is told to come again."""

    def __init__(self, limit: int, each: int) -> None:
        self._free = limit
        self._each = each
        self._taken: Counter[str] = Counter()
        self._again = cycle(_COME_AGAIN)

    def take(self, owner: str) -> None:
        """Takes a place, to be given back with `leave`. Answers 429 when there is none."""
        if self._free <= 0 or self._taken[owner] >= self._each:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_requests",
                "More requests of this kind are under way than we serve at once.",
                "Send the request again in a few seconds.",
                headers={"Retry-After": str(next(self._again))},
            )
        self._free -= 1
        self._taken[owner] += 1

    def leave(self, owner: str) -> None:
        """Gives a place back."""
        self._free += 1
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """A place for the time of the block."""
        self.take(owner)
        try:
            yield
        finally:
            self.leave(owner)
