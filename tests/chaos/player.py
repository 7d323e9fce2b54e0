"""Plays crash points: armed one after another in every service at once, while scenarios that reach them go on."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import Final

import httpx
from tests.chaos.house import House
from tests.chaos.load import Crowd, Sturdy
from tests.chaos.points import RUN
from tests.chaos.scenarios import play

Play = tuple[str, int, str]
"""Point, hit, scenario."""


NUDGE: Final = 40.0
"""Seconds after which a service is killed once more, for points that are passed once in a process's life."""


@dataclass
class Outcome:
    """What became of the points."""

    fired: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{len(self.fired)} crash points fired in {self.seconds:.0f} s, {len(self.missed)} did not, "
            f"{len(self.violations)} violations"
        )


@dataclass
class Player:
    """`pumps`: how many scenarios are played at once. `patience`: seconds for one point to strike at its first hit, and
    as many for each further one: the longest scenario takes two minutes while every service is ended again and again.
    """

    house: House
    crowd: Crowd
    pumps: int = 3
    patience: float = 240.0
    _wanted: Counter[str] = field(default_factory=Counter)
    _playing: Counter[str] = field(default_factory=Counter)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(self, by_service: Sequence[Sequence[Play]]) -> Outcome:
        """Each service's points in their order, all services beside each other; then quiet and the verdict."""
        outcome, began = Outcome(), time.monotonic()
        self._over.clear()
        async with Sturdy(self.house, self.crowd.answers) as http:
            pumps = [asyncio.create_task(self._pump(http)) for _ in range(self.pumps)]
            try:
                await asyncio.gather(*(self._each(plays, outcome) for plays in by_service))
            finally:
                self._over.set()
                await asyncio.gather(*pumps)
        await self._judge(outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    async def _each(self, plays: Sequence[Play], outcome: Outcome) -> None:
        for point, hit, scenario in plays:
            self.house.points.arm(point, hit)
            self._wanted[scenario] += 1
            deadline = time.monotonic() + self.patience * hit
            nudge = time.monotonic() + NUDGE
            while not self.house.points.has_fired(point, hit) and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
                if time.monotonic() > nudge:
                    nudge += NUDGE
                    self.house.signal(point.partition(".")[0], SIGKILL)
            self._wanted[scenario] -= 1
            self.house.points.disarm(point)
            fired = self.house.points.has_fired(point, hit)
            (outcome.fired if fired else outcome.missed).append(f"{point}:{hit}")

    async def _pump(self, http: Sturdy) -> None:
        """Plays what is wanted most and played least."""
        while not self._over.is_set():
            wanted = [name for name, count in self._wanted.items() if count > 0] or [RUN]
            scenario = min(wanted, key=lambda name: (self._playing[name], -self._wanted[name]))
            self._playing[scenario] += 1
            try:
                playing = asyncio.create_task(play(self.house, self.crowd, http, scenario))
                over = asyncio.create_task(self._over.wait())
                await asyncio.wait([playing, over], return_when=asyncio.FIRST_COMPLETED)
                for task in (playing, over):
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError, httpx.TransportError):
                    await playing
            except (AssertionError, TimeoutError, httpx.HTTPError) as problem:
                self.crowd.problems.append(f"{scenario}: {type(problem).__name__} {str(problem)[:300]}")
            finally:
                self._playing[scenario] -= 1

    async def _judge(self, outcome: Outcome) -> None:
        with contextlib.suppress(httpx.TransportError):
            await self.house.outside.mend()
        try:
            history = await self.house.history()
        except AssertionError as problem:
            outcome.violations.append(f"invariant 17: {problem}")
            return
        self.crowd.tell(history)
        outcome.violations += await self.house.violations(history)
        outcome.violations += [f"a good client failed: {problem}" for problem in self.crowd.problems]
        self.crowd.problems.clear()
