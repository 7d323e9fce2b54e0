"""Which targets can be reached, as far as this process knows: a dead one must not hold the lanes of everybody else.

Calls of one target at once are bounded, because each holds a lane while it waits for an answer. A target that gave no
answer some times in a row is left alone, but for one call at growing intervals.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

log = structlog.get_logger()

_MOMENT: Final = timedelta(seconds=1)
"""For a call that finds all places of its target taken."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`at_once` calls of one target; after `failures` in a row it is left alone for `first`, at last for `longest`."""

    at_once: int = 8
    failures: int = 3
    first: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(minutes=5)


@dataclass
class _State:
    under_way: int = 0
    failures: int = 0
    until: float = 0.0


class Reach:
    """The targets of one process, by names that only it sees. `clock` in seconds, never going back."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._states: defaultdict[str, _State] = defaultdict(_State)

    def wait(self, target: str) -> timedelta | None:
        """How long the target is to be left alone; None to call it now, maybe as the one that tries."""
        state, now = self._states[target], self._clock()
        if state.failures >= self._bounds.failures:
            if now < state.until:
                return timedelta(seconds=state.until - now)
            state.until = now + self._delay(state).total_seconds()
        elif state.under_way >= self._bounds.at_once:
            return _MOMENT
        return None

    @contextmanager
    def calling(self, target: str) -> Iterator[None]:
        """Around a call."""
        state = self._states[target]
        state.under_way += 1
        try:
            yield
        finally:
            state.under_way -= 1

    def answered(self, target: str) -> None:
        """It gave an answer, whatever it says."""
        state = self._states[target]
        if state.failures >= self._bounds.failures:
            log.info("target_back")
        state.failures = 0

    def silent(self, target: str) -> None:
        """It gave none."""
        state = self._states[target]
        state.failures += 1
        if state.failures >= self._bounds.failures:
            delay = self._delay(state)
            state.until = self._clock() + delay.total_seconds()
            log.warning("target_left_alone", failures=state.failures, seconds=delay.total_seconds())

    def _delay(self, state: _State) -> timedelta:
        doublings = min(state.failures - self._bounds.failures, 20)
        return min(self._bounds.first * float(2**doublings), self._bounds.longest)
