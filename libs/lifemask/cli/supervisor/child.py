"""What the supervisor is told about a process, and how long it waits before it starts one again."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Environment = Mapping[str, str]

FINAL_CODES = frozenset({2, 3})
"""Exit codes that another start cannot mend: wrong usage, and a missing service or setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One process to keep running. It ends by itself when the pipe in LIFEMASK_WATCH_FD comes to its end."""

    name: str
    argv: tuple[str, ...]
    env: Callable[[Environment], Environment] = dict
    """Asked at every start, with what was given by the children before it; returns variables added to our own."""
    ready: Callable[[], Awaitable[bool]] | None = None
    """Asked again and again after a start; None means ready at once."""
    after: tuple[str, ...] = ()
    """Names of the children that must be ready first."""
    before_start: Callable[[], None] | None = None
    gives: Callable[[], Environment] | None = None
    """Variables for all that come after this child, directly or not; asked whenever it has become ready.

    They are void when it ends: whoever got them is stopped before it is started again."""
    once: bool = False
    """Runs to its end and is ready when that was exit code 0."""
    restart: bool = True
    """False: its end is a failure of the whole."""
    start_patience: float = 60.0
    """Seconds after which a start that has not become ready is ended and counts as failed."""
    stop_grace: float = 4.0
    """Seconds between SIGTERM and SIGKILL."""
    group: int = 0
    """Higher groups are stopped first."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the whole cannot go on. `code` is an exit code, negative for a signal, None for a fault of our own."""

    name: str
    code: int | None
    last_words: str

    def __str__(self) -> str:
        return f"{self.name} ended with code {self.code}: {self.last_words or 'it said nothing'}"


@dataclass(slots=True)
class Backoff:
    """Seconds to wait before the next start: doubling, and short again once a start has lasted."""

    first: float = 0.2
    longest: float = 5.0
    healthy_after: float = 10.0
    _next: float = 0.0

    def after(self, healthy_for: float) -> float:
        """The wait that follows a run that was ready for so many seconds."""
        if healthy_for >= self.healthy_after:
            self._next = 0.0
        wait = self._next or self.first
        self._next = min(wait * 2, self.longest)
        return wait
