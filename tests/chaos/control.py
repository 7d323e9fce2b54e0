"""Small stories that a safeguard is there for. With it nothing is found; without it the checker must find something."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import psutil  # type: ignore[import-untyped]  # brings no types
from tests.chaos.crashing import HOLD
from tests.chaos.house import APP, House
from tests.chaos.load import Crowd, Sturdy
from tests.chaos.scenarios import Scene, run_well
from tests.system.app import Person
from tests.system.waiting import eventually

from lifemask.cli.plan import SERVICES

Story = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Arm:
    """`invariants`: any of these must be violated once the safeguard is away."""

    story: Story
    invariants: tuple[str, ...]


async def paid_and_killed(scene: Scene) -> None:
    """The trainer ends when the provider has answered, and nothing of that is stored."""
    await _dies(scene, "trainer.after_create")


async def frozen_before_paying(scene: Scene) -> None:
    """The trainer freezes before it stores that it pays; another pays; the first one wakes up."""
    await _freezes(scene, "trainer.before_bus.Working._commit", 2, "trainer", _until_started)


async def sent_again(scene: Scene) -> None:
    """Every service ends when the broker has an event and the outbox does not know it yet."""
    for service in SERVICES:
        scene.house.points.arm(f"{service}.after_bus.produce")
    await run_well(scene)  # without the safeguard not everybody hears of the run
    await _fired(scene, f"{SERVICES[0]}.after_bus.produce")


async def canceled_at_work(scene: Scene) -> None:
    """The packager has sealed its archive and said nothing yet when the run is cancelled."""
    await _canceled_at(scene, "packager.after_seal")


async def canceled_while_published(scene: Scene) -> None:
    """The hub has the model and the publisher has said nothing yet when the run is cancelled."""
    await _canceled_at(scene, "publisher.after_commit")


ARMS: Final[Mapping[str, Arm]] = {
    "intent": Arm(paid_and_killed, ("3",)),
    "fence": Arm(frozen_before_paying, ("3",)),
    "inbox": Arm(sent_again, ("2", "5", "7, audit", "10")),
    "baton": Arm(canceled_at_work, ("1", "2")),
    "withdrawal": Arm(canceled_while_published, ("4",)),
}
"""By the names of arms.py."""


async def told(house: House, name: str) -> list[str]:
    """Plays the story of an arm and returns what the checker finds."""
    crowd = Crowd(house, 1)
    async with Sturdy(house, crowd.answers) as http:
        await ARMS[name].story(Scene(house, crowd, Person(http, APP, f"u{name}")))
    try:
        history = await house.history(40)
    except AssertionError as problem:
        return [f"invariant 17: {problem}"]
    finally:
        house.end_spares()
    crowd.tell(history)
    return await house.violations(history)


async def _fired(scene: Scene, point: str, hit: int = 1) -> None:
    async def has() -> bool:
        return scene.house.points.has_fired(point, hit)

    await eventually(has, 40)


async def _dies(scene: Scene, point: str) -> None:
    scene.house.points.arm(point)
    await run_well(scene)
    await _fired(scene, point)


async def _freezes(
    scene: Scene, point: str, hit: int, service: str, until: Callable[[Scene, str], Awaitable[None]]
) -> None:
    scene.house.points.arm(point, hit, "stop")
    run = await scene.accepted()
    await _fired(scene, point, hit)
    pid = await _stopped(scene.house, service)
    scene.house.spare(service, pid)
    await until(scene, run)
    os.kill(pid, signal.SIGCONT)
    await scene.until(run, lambda _: False)


async def _until_started(scene: Scene, run: str) -> None:
    await scene.until(run, lambda view: bool(view["training"].get("id")))


async def _canceled_at(scene: Scene, point: str) -> None:
    """The handler alone waits there: it keeps its lane, and its process hears of the cancel and ends the run."""
    scene.house.points.arm(point, 1, HOLD)
    run = await scene.accepted()
    await _fired(scene, point)
    answer = await scene.person.cancel(run)
    assert answer.status_code == 202, answer.text
    view = await scene.until(run, lambda _: False)
    assert view["status"] == "canceled", view
    scene.house.points.release(point)


async def _stopped(house: House, service: str) -> int:
    pid = house.pid_of(service)

    async def is_stopped() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        return False

    await eventually(is_stopped, 10)
    await asyncio.sleep(0)
    return pid
