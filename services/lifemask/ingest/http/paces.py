"""How fast one user's photos are taken: what comes faster is left with its sender, so that others have their turns."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

BURST: Final = 2.0
"""Seconds' worth that is taken at any speed, so that a few photos never wait."""
_REMEMBERED: Final = 100_000
"""Users; whoever was not heard of for longest begins anew."""

Pace = Callable[[int], Awaitable[None]]
"""Waits, after so many bytes of one user were taken, until more may be."""


class Paces:
    """At most `rate` bytes a second of each user in this process, in the long run."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def of(self, owner: str) -> Pace:
        """The pace of one user, over all that they send."""

        async def wait(count: int) -> None:
            if (seconds := self.delay(owner, count)) > 0:
                await asyncio.sleep(seconds)

        return wait

    def delay(self, owner: str, count: int) -> float:
        """Seconds to wait after `count` bytes more."""
        now = self._clock()
        due = max(self._due.pop(owner, now - BURST), now - BURST) + count / self._rate
        self._due[owner] = due
        if len(self._due) > _REMEMBERED:
            self._due.popitem(last=False)
        return max(due - now, 0.0)
