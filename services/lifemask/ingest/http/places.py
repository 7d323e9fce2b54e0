"""A bound on how many long requests of one kind a process serves at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from lifemask.ingest.http.problems import Problem


class Places:
    """So many at once; the next one is told to come again."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    def take(self) -> None:
        """Takes a place, to be given back with `leave`. Answers 429 when there is none."""
        if self._free <= 0:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_requests",
                "More requests of this kind are under way than we serve at once.",
                "Send the request again in a few seconds.",
                headers={"Retry-After": "2"},
            )
        self._free -= 1

    def leave(self) -> None:
        """Gives a place back."""
        self._free += 1

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place for the time of the block."""
        self.take()
        try:
            yield
        finally:
            self.leave()
