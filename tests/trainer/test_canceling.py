"""A cancel at every state that the trainer's part of a run can be in: one end, nothing running, nothing unpaid."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.sandbox.world import until
from tests.trainer.test_service import Plant, plant

from lifemask.contracts import DatasetSealed, FailureCode, RunCancelRequested, TrainingSucceeded
from lifemask.testkit.events import an_event

__all__ = ["plant"]

Stage = Callable[[Plant], Awaitable["asyncio.Task[None] | None"]]


async def tried(plant: Plant) -> None:
    await plant.seals()
    await plant.turns()


async def waiting_for_its_turn(plant: Plant) -> None:
    await plant.seals()


async def paused(plant: Plant) -> None:
    await plant.fault("create_training", "answer", status=401, times=None)
    await tried(plant)
    assert plant.service.pause.active


async def backing_off(plant: Plant) -> None:
    await plant.fault("create_training", "answer", status=429, retry_after=1)
    await tried(plant)
    assert await plant.value("select state from attempt") == "intended"


async def held_by_a_circuit(plant: Plant) -> None:
    with provider_away(plant):
        await plant.seals()
        for _ in range(3):
            await plant.service.bus.pool.execute("update lane set ready_at = now()")
            await plant.turns()
    assert len((await plant.service.readiness()).away) == 1


@contextmanager
def provider_away(plant: Plant) -> Iterator[None]:
    """Nobody listens where the provider was."""
    client = plant.service.worker.calls._ports[DatasetSealed.ce_type]["trainings"]._http  # type: ignore[attr-defined] # a port
    there, client.base_url = client.base_url, "http://127.0.0.1:9"
    yield
    client.base_url = there


async def inside_the_paid_call(plant: Plant) -> "asyncio.Task[None]":
    await plant.fault("create_training", "delay", seconds=0.3)
    await plant.seals()
    task = asyncio.create_task(plant.turns())

    async def is_creating() -> bool:
        return bool(await plant.value("select state = 'creating' from attempt"))

    await until(is_creating)
    return task


async def answer_lost(plant: Plant) -> None:
    await plant.fault("create_training", "drop_after")
    await tried(plant)
    assert await plant.value("select state from attempt") == "unknown"


async def stalled(plant: Plant) -> None:
    await plant.fault("create_training", "drop_before")
    await tried(plant)
    await plant.turns()
    assert await plant.trainings() == []
    assert await plant.kinds() == ["RunStalled"]


async def running(plant: Plant) -> None:
    await tried(plant)
    assert await plant.value("select state from attempt") == "running"


STAGES: tuple[Stage, ...] = (
    waiting_for_its_turn,
    paused,
    backing_off,
    held_by_a_circuit,
    inside_the_paid_call,
    answer_lost,
    stalled,
    running,
)


@pytest.mark.parametrize("stage", STAGES)
async def test_a_cancel_ends_the_run_once_and_leaves_no_training(plant: Plant, stage: Stage) -> None:
    await plant.fault("training", "timing", queue_seconds=0, seconds=60, times=None)
    working = await stage(plant)
    await plant.receives(an_event(RunCancelRequested, **plant.run))
    if working is not None:
        await plant.service.ender.end(plant.run["user_id"], plant.run["run_id"])
        await working
    await plant.web.delete(plant.urls.faults)

    async def is_settled() -> bool:
        await plant.service.bus.pool.execute("update lane set ready_at = now()")
        await plant.turns()
        unbooked = await plant.value("select count(*) from provider_training where booked_at is null")
        return not unbooked and all(row["is_over"] for row in await plant.trainings())

    for _ in range(3):
        await plant.turns()
    await until(is_settled)
    kinds = await plant.kinds()
    assert kinds[-1] == "RunCanceled"
    assert set(kinds[:-1]) <= {"RunStalled", "TrainingStarted"}
    assert len(await plant.trainings()) <= 1
    await plant.books_balance()
    assert await weights_kept(plant) == []


async def test_a_provider_that_is_away_for_longer_than_all_attempts_costs_none(plant: Plant) -> None:
    with provider_away(plant):
        await plant.seals()
        for _ in range(3 * plant.service.bus.settings.max_attempts):
            for circuit in plant.service.circuits._by_code.values():
                circuit.pause._until = 0
            await plant.service.bus.pool.execute("update lane set ready_at = now()")
            await plant.turns()
    assert await plant.service.bus.pool.fetchval("select attempts from inbox") == 0
    report = await plant.service.readiness()
    assert (report.dead, len(report.away), await plant.kinds()) == (0, 1, ["RunStalled"])
    plant.service.circuits._by_code[FailureCode.PROVIDER_UNAVAILABLE].pause._until = 0
    await plant.service.bus.pool.execute("update lane set ready_at = now()")
    await plant.works_until(TrainingSucceeded)
    assert (await plant.service.readiness()).away == ()
    assert await plant.kinds() == ["RunStalled", "TrainingStarted", "TrainingSucceeded"]
    assert len(await plant.trainings()) == 1
    await plant.books_balance()


async def weights_kept(plant: Plant) -> list[Any]:
    return [found.key async for found in plant.objects.list("users/") if "/weights/" in found.key]
