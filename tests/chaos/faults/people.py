"""Runs of several users in flight, and what must be true of them once the fault is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from tests.chaos.faults.house import House
from tests.system.app import OVER, Person, View
from tests.system.asking import ask
from tests.system.checker import broken
from tests.system.conftest import a_client, a_person
from tests.system.history import History
from tests.system.outside import Outside
from tests.system.photos import good
from tests.system.reading import read_history
from tests.system.waiting import eventually

PATIENCE: Final = 60.0
"""Seconds from the end of a fault to the end of every run: processes may have to start again, leases to run out."""


@dataclass(frozen=True, slots=True)
class Street:
    """A running system, as its app and from outside."""

    house: House
    http: httpx.AsyncClient
    outside: Outside

    async def busy(self, count: int = 3, *, seconds: float = 2.0) -> dict[str, Person]:
        """That many users with a run each, by run: the first one trains, the others are on their way there."""
        await self.outside.fault("training", "timing", queue_seconds=0, seconds=seconds)
        people = [a_person(self.http) for _ in range(count)]
        first = await people[0].accepted(good(12))
        await people[0].training(first)
        rest = await asyncio.gather(*(person.accepted(good(12)) for person in people[1:]))
        return dict(zip([first, *rest], people, strict=True))

    async def readiness(self) -> dict[str, View]:
        """What each service says of itself."""
        urls = self.house.facts["services"]
        answers = await asyncio.gather(*(self.outside.http.get(f"{url}/readyz") for url in urls.values()))
        return {name: answer.json() for name, answer in zip(urls, answers, strict=True)}

    async def all_ready(self, runs: dict[str, Person], *, paid: int | None = 1) -> History:
        """Waits for every run's end and for quiet: all have models, nothing is wrong, nobody heard more than that."""
        views = await asyncio.gather(*(ended(person, run) for run, person in runs.items()))
        ends = {(view["status"], view["summary"]) for view in views}
        assert ends == {("ready", "The model is ready.")}, ends
        history = await self.sound()
        for run, person in runs.items():
            if paid is not None:
                assert paid_for(history, run) == paid
            assert {mail["subject"] for mail in await self.outside.mails(person.email)} == {"“Portrait” is ready"}
            names = {mail["headers"]["Message-ID"] for mail in await self.outside.mails(person.email)}
            assert len(names) == 1
        assert self.house.said("dead_letter") == 0
        return history

    async def sound(self, seconds: float = PATIENCE) -> History:
        """Waits for quiet; asserts every invariant. A problem is reported to the first who meets it."""
        history = await read_history(self.house, self.outside, seconds, self.house.reading)
        await ask(history, self.house.url, {"acme": self.house.key}, 2)
        problems = [problem for problem in broken(history) if problem not in self.house.reported]
        self.house.reported.update(problems)
        assert not problems, problems
        return history


@asynccontextmanager
async def street(house: House) -> AsyncIterator[Street]:
    """The house, started when it is down; every proxy mended before and after."""
    for proxy in house.proxies.values():
        proxy.mend()
    if not house.is_up:
        await asyncio.to_thread(house.start)
    async with a_client(house.url, house.key) as http, httpx.AsyncClient(trust_env=False, timeout=10) as outer:
        outside = Outside(outer, house.sandbox)
        await outside.mend()
        try:
            yield Street(house, http, outside)
        finally:
            for proxy in house.proxies.values():
                proxy.mend()


async def ended(person: Person, run: str, seconds: float = PATIENCE) -> View:
    """The run at its terminal fact. A service that starts again, or says that it cannot answer, is waited for."""

    async def over() -> View | None:
        try:
            answer = await person.http.get(person.path("runs", run))
        except httpx.TransportError:
            return None
        view: View | None = answer.json() if answer.status_code == 200 else None
        return view if view and view["status"] in OVER else None

    try:
        found = await eventually(over, seconds, every=0.1)
    except AssertionError:
        raise AssertionError(f"no end of {run}: {(await person.http.get(person.path('runs', run))).text}") from None
    assert found
    return found


async def when(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits for what a proxy or a log shows."""

    async def true() -> bool:
        return bool(condition())

    await eventually(true, seconds)


def paid_for(history: History, run: str) -> int:
    """Trainings of a run in the provider's books."""
    paths = {attempt.path for attempt in history.attempts if attempt.run == run}
    return len([training for training in history.billed if training.path in paths])
