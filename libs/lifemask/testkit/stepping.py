"""One event in, what came out: a handler tested without bus, broker or clock."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder, Route
from lifemask.contracts import Event


class TurnLost(Exception):
    """The stepping turn was told that the lane or the run is no longer ours."""


@dataclass
class SteppingTurn:
    """A turn under the test's control: `commits` is what the handler stored in the middle of its work."""

    got_at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    epoch: int = 1
    tries: int = 0
    commits: list[Later | Keep] = field(default_factory=list)
    brings: bool = True
    """What `brought` answers."""
    lost_after: int | None = None
    """`check` and `commit` fail once they were called this often."""
    calls: int = 0

    async def check(self) -> None:
        self.calls += 1
        if self.lost_after is not None and self.calls > self.lost_after:
            raise TurnLost

    async def brought(self) -> bool:
        return self.brings

    async def commit(self, *outcomes: Later | Keep) -> None:
        await self.check()
        self.commits.extend(outcomes)


async def step(
    routes: Sequence[Route], message: Event | Reminder, *, turn: SteppingTurn | None = None, **ports: object
) -> list[Outcome]:
    """Runs the handler of `message` with the ports it names and returns its outcomes."""
    route = next(route for route in routes if route.message is type(message))
    given = {"turn": turn or SteppingTurn(), **ports}
    wanted = list(inspect.signature(route.handler).parameters)[1:]
    return list(await route.handler(message, **{name: given[name] for name in wanted}))
