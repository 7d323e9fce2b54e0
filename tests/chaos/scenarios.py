"""What is played while crash points are armed: each scenario goes on whatever falls over, as a good client does."""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from uuid import uuid4

import httpx
from tests.chaos.house import APP, House
from tests.chaos.load import PHOTOS, TRIGGER, Crowd, Sturdy
from tests.chaos.points import ANNOUNCED, BUSY, CANCEL, LOST, RESTART, REVOKE, RUN, TARGETS
from tests.system.app import OVER, Person, View
from tests.system.commands import command
from tests.system.photos import good

PATIENCE: Final = 120.0
"""Seconds for one run while every service is ended again and again; it goes on by itself afterwards."""


@dataclass
class Scene:
    """One person in one scenario."""

    house: House
    crowd: Crowd
    person: Person

    async def accepted(self) -> str:
        """A submitted run with enough photos."""
        await self.person.introduce()
        run = await self.person.draft(trigger_word=TRIGGER)
        await self.person.send(run, good(PHOTOS))
        await self._submitted(run)
        return run

    async def _submitted(self, run: str) -> None:
        answer = await self.person.submit(run)
        assert answer.status_code == 202, answer.text
        self.crowd.accepted.add((self.person.bus_id, run))

    async def until(self, run: str, done: Callable[[View], bool]) -> View:
        """The run as it is when this is so, when it is over, or when nobody waits any longer: the checker will see."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            view = await self.person.view(run)
            if done(view) or view["status"] in OVER or asyncio.get_running_loop().time() > deadline:
                return view
            await asyncio.sleep(0.2)


async def run_well(scene: Scene) -> None:
    """With a look at everything that a person can look at."""
    run = await scene.accepted()
    await scene.person.photos(run)
    await scene.person.http.get(scene.person.path())
    view = await scene.until(run, lambda _: False)
    http, person = scene.person.http, scene.person
    await http.get(person.path("runs"))
    await http.get(person.path("models"))
    with contextlib.suppress(httpx.TransportError, TimeoutError, AssertionError):
        await person.events(run)
    if view["model"] and view["model"].get("id"):
        model = (await http.get(person.path("models", view["model"]["id"]))).json()
        async with httpx.AsyncClient(trust_env=False) as other:
            with contextlib.suppress(httpx.TransportError):
                await other.get(model["weights_url"])


async def announce(scene: Scene) -> None:
    await scene.crowd._announces(scene.person, Random(uuid4().int))


async def cancel(scene: Scene) -> str:
    await _slowly(scene, seconds=20)
    run = await scene.accepted()
    await scene.until(run, lambda view: bool(view["training"].get("id")))
    answer = await scene.person.cancel(run)
    assert answer.status_code in {200, 202, 409}, answer.text
    await scene.until(run, lambda _: False)
    return run


async def _slowly(scene: Scene, seconds: float) -> None:
    with contextlib.suppress(httpx.TransportError):
        await scene.house.outside.fault("training", "timing", queue_seconds=0, seconds=seconds)


async def lose_the_answer(scene: Scene) -> None:
    with contextlib.suppress(httpx.TransportError):
        await scene.house.outside.fault("create_training", "drop_after")
    await run_well(scene)


async def be_busy(scene: Scene) -> None:
    with contextlib.suppress(httpx.TransportError):
        await scene.house.outside.fault("create_training", "answer", status=429, retry_after=1)
        await scene.house.outside.fault("get_training", "answer", status=500, times=3)
    await run_well(scene)


async def revoke(scene: Scene) -> None:
    run = await scene.accepted()
    view = await scene.until(run, lambda _: False)
    if view["status"] != "ready":
        return
    model = view["model"]["id"]
    with contextlib.suppress(AssertionError):  # the command is cut off with the services: it is given again
        await command(scene.house.stack, "revoke", model, "--reason", "Another person's.", "--yes", "--wait", "5")


async def restart(scene: Scene) -> None:
    run = await cancel(scene)
    if (await scene.person.view(run))["status"] != "canceled":
        return
    answer = await scene.person.restart(run)
    assert answer.status_code in {200, 201}, answer.text
    again = str(answer.json()["id"])
    async with asyncio.timeout(PATIENCE):
        while (await scene.person.submit(again)).status_code != 202:  # noqa: ASYNC110  it belongs to another process
            await asyncio.sleep(0.5)
    scene.crowd.accepted.add((scene.person.bus_id, again))


async def use_targets(scene: Scene) -> None:
    """One photo more than is needed, which is taken out again."""
    person, files = scene.person, good(PHOTOS + 1)
    await person.introduce()
    run = await person.draft(trigger_word=TRIGGER)
    announced = [
        {
            "name": file.name,
            "bytes": len(file.data),
            "sha256": hashlib.sha256(file.data).hexdigest(),
            "content_type": "image/jpeg",
        }
        for file in files
    ]
    answer = await person.http.post(person.path("runs", run, "uploads"), json={"files": announced})
    assert answer.status_code == 201, answer.text
    async with httpx.AsyncClient(trust_env=False, timeout=20) as store:
        for target, file in zip(answer.json()["targets"], files, strict=True):
            await _put(store, target, file.data)
    async with asyncio.timeout(PATIENCE):
        while len(photos := await person.photos(run)) < len(files):  # noqa: ASYNC110  it belongs to another process
            await asyncio.sleep(0.3)
    await person.http.delete(person.path("runs", run, "photos", photos[0]["id"]))
    await scene._submitted(run)
    await scene.until(run, lambda _: False)


async def _put(store: httpx.AsyncClient, target: Mapping[str, Any], data: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await store.put(target["url"], content=data, headers=target["headers"])
                if answer.is_success or answer.status_code in {409, 412}:  # 409, 412: it had arrived
                    return
            await asyncio.sleep(0.3)


PLAYS: Final[Mapping[str, Callable[[Scene], Awaitable[object]]]] = {
    RUN: run_well,
    ANNOUNCED: announce,
    CANCEL: cancel,
    LOST: lose_the_answer,
    BUSY: be_busy,
    REVOKE: revoke,
    RESTART: restart,
    TARGETS: use_targets,
}


async def play(house: House, crowd: Crowd, http: Sturdy, scenario: str) -> None:
    """One person plays the scenario once."""
    person = Person(http, APP, f"u{uuid4().hex[:12]}")
    crowd.names.add(person.name)
    crowd.runs += 1
    await PLAYS[scenario](Scene(house, crowd, person))
