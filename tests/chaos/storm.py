"""Seeded chaos in waves: load and chaos together, then quiet, then every invariant, then the next wave."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Final

from tests.chaos.house import LEASE, House
from tests.chaos.load import Crowd
from tests.system.history import Fact, RunKey

from lifemask.cli.plan import SERVICES

CLOCKS: Final = (-600.0, 600.0)
"""Seconds: how wrong a service's clock may be."""


@dataclass
class Wave:
    """What happened in one wave."""

    number: int
    kills: int = 0
    runs: int = 0
    seconds: float = 0.0
    quiet: float = 0.0
    violations: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    """Of all runs of its house until then."""
    over: Counter[str] = field(default_factory=Counter)
    """Of those that ended in this wave."""
    struck: list[tuple[datetime, str]] = field(default_factory=list)
    """When each fault struck."""
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    """By fault: how the runs ended that were under way when it struck, each once for each time."""

    @property
    def faults(self) -> Counter[str]:
        """How often each struck."""
        return Counter(name for _, name in self.struck)

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        ends = ", ".join(f"{count} {name}" for name, count in sorted(self.ends.items()))
        return (
            f"wave {self.number}: {self.kills} kills in {self.seconds:.0f} s ({faults}), {self.runs} runs begun, "
            f"quiet after {self.quiet:.0f} s; all runs so far: {ends}; {len(self.violations)} violations"
        )


class Storm:
    """Everything that goes wrong in a house, decided by a seed."""

    def __init__(self, house: House, seed: int, crowd: Crowd, *, heavy: bool = True) -> None:
        self._house = house
        self._crowd = crowd
        self._dice = Random(f"storm/{seed}")
        self._frozen: set[str] = set()
        self._thawing: list[asyncio.Task[None]] = []
        self._wave = Wave(0)
        self._over: Counter[str] = Counter()
        faults: list[tuple[int, str, Callable[[], Awaitable[None]]]] = [
            (62, "service killed", self._kill_one),
            (16, "services killed at once", self._kill_some),
            (8, "frozen past its lease", self._freeze),
            (8, "restarted with a wrong clock", self._wrong_clock),
            (3, "asked to stop", self._stop),
        ]
        if heavy:
            faults += [
                (2, "supervisor killed", self._kill_supervisor),
                (1, "everything killed", self._kill_all),
            ]
        self._faults = faults

    async def wave(self, number: int, kills: int) -> Wave:
        """At least so many kills under load, then quiet and the checker's verdict."""
        wave = self._wave = Wave(number)
        before, began = self._crowd.runs, time.monotonic()
        self._crowd.wake()
        people = asyncio.create_task(self._crowd.run(number))
        try:
            while wave.kills < kills and not people.done():
                await self._strike()
                await asyncio.sleep(self._dice.uniform(0.05, 0.6))
        finally:
            self._crowd.rest()
        await asyncio.gather(*self._thawing)
        self._thawing.clear()
        wave.seconds = time.monotonic() - began
        await people
        wave.runs = self._crowd.runs - before
        await self._judge(wave)
        return wave

    async def _strike(self) -> None:
        weights = [weight for weight, _, _ in self._faults]
        (_, name, fault), *_ = self._dice.choices(self._faults, weights)
        kills, began = self._wave.kills, datetime.now(UTC)
        await fault()
        if self._wave.kills > kills or name in {"frozen past its lease", "asked to stop"}:
            self._wave.struck.append((began, name))

    def _kill(self, service: str) -> None:
        if service not in self._frozen:
            self._wave.kills += bool(self._house.signal(service, SIGKILL))

    async def _kill_one(self) -> None:
        self._kill(self._dice.choice(SERVICES))

    async def _kill_some(self) -> None:
        for service in self._dice.sample(SERVICES, self._dice.randint(2, 3)):
            self._kill(service)

    async def _stop(self) -> None:
        if (service := self._dice.choice(SERVICES)) not in self._frozen:
            self._house.signal(service, SIGTERM)

    async def _wrong_clock(self) -> None:
        service = self._dice.choice(SERVICES)
        self._house.set_clock(service, self._dice.choice((*CLOCKS, 0.0)))
        self._kill(service)

    async def _freeze(self) -> None:
        """Another process of the service takes over; then the first one wakes up, and believes it is still its turn."""
        service = self._dice.choice(SERVICES)
        if service in self._frozen or not (pid := self._house.signal(service, SIGSTOP)):
            return
        self._frozen.add(service)
        seconds = LEASE + self._dice.uniform(0.5, 2.5)
        self._thawing.append(asyncio.create_task(self._thaw(service, pid, seconds)))

    async def _thaw(self, service: str, pid: int, seconds: float) -> None:
        spare = self._house.spare(service, pid)
        try:
            await asyncio.sleep(seconds)
        finally:
            if self._house.pid_of(service) == pid:
                self._house.signal(service, SIGCONT)
            self._frozen.discard(service)
        await asyncio.sleep(1.0)
        spare.kill()
        self._wave.kills += 1

    async def _thaw_all(self) -> None:
        await asyncio.gather(*self._thawing)
        self._thawing.clear()

    async def _kill_supervisor(self) -> None:
        await self._thaw_all()
        self._wave.kills += 1
        await self._house.kill_supervisor()

    async def _kill_all(self) -> None:
        await self._thaw_all()
        self._wave.kills += 1
        await self._house.kill_all()

    async def _judge(self, wave: Wave) -> None:
        """A service that was set wrong stays so: what it does afterwards must be right as well."""
        began = time.monotonic()
        self._house.end_spares()
        try:
            history = await self._house.history()
        except AssertionError as problem:
            wave.violations.append(f"invariant 17: {problem}")
            return
        wave.quiet = time.monotonic() - began
        self._crowd.tell(history)
        wave.violations += await self._house.violations(history)
        wave.violations += [f"a good client failed: {problem}" for problem in self._crowd.problems]
        self._crowd.problems.clear()
        told = {(fact.source, fact.id): fact.kind for fact in history.facts}
        wave.ends = Counter(kind for kind in told.values() if kind in _ENDS)
        wave.over = wave.ends - self._over
        self._over = wave.ends
        wave.outcomes = outcomes(wave.struck, history.facts)


def outcomes(struck: Sequence[tuple[datetime, str]], facts: Iterable[Fact]) -> dict[str, Counter[str]]:
    """By fault: how the runs ended that were under way, from their first fact to their last, when it struck."""
    began: dict[RunKey, datetime] = {}
    ended: dict[RunKey, tuple[datetime, str]] = {}
    for fact in facts:
        if fact.run is not None:
            began[fact.key] = min(fact.at, began.get(fact.key, fact.at))
            if fact.kind in _ENDS:
                ended[fact.key] = fact.at, fact.kind
    found: dict[str, Counter[str]] = {}
    for at, name in struck:
        under_way = (kind for key, (over, kind) in ended.items() if began[key] <= at <= over)
        found.setdefault(name, Counter()).update(under_way)
    return found


_ENDS: Final = frozenset({"model.ready", "run.rejected", "run.failed", "run.canceled"})
