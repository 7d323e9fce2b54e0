"""Lost replies on the wire: found, paid again, settled by an operator's command; our books are the provider's bill."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.bus.running import as_owner
from tests.cli.conftest import Call, lifemask
from tests.sandbox.world import until
from tests.trainer.test_service import Plant, planted

from lifemask.contracts import RunStalled, TrainingStarted, TrainingSucceeded
from lifemask.trainer.handlers import HANDLERS

__all__ = ["lifemask"]

MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
async def database_dsn(database: MakeDatabase, postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    dsn = await database("trainer")
    monkeypatch.setenv("LIFEMASK_POSTGRES", as_owner(postgres, dsn))
    return dsn


@pytest.fixture
async def quick(tmp_path: Path, database_dsn: str) -> AsyncIterator[Plant]:
    """Two listings 0.2 s apart are enough."""
    async with planted(tmp_path, database_dsn, repost_after=0.2) as plant:
        yield plant


@pytest.fixture
async def patient(tmp_path: Path, database_dsn: str) -> AsyncIterator[Plant]:
    """Asks an operator at once."""
    async with planted(tmp_path, database_dsn, settle_patience=0.01) as plant:
        yield plant


async def states(plant: Plant) -> list[str]:
    async with plant.service.bus.rows.reading(plant.run["user_id"]) as connection:
        return [row["state"] for row in await connection.fetch("select state from attempt order by number")]


async def asked(plant: Plant) -> str:
    async def look() -> str | None:
        await plant.turns()
        return next(iter((await plant.service.readiness()).needs_operator), None)

    return await until(look, 20)


@asynccontextmanager
async def working(plant: Plant) -> AsyncIterator[None]:
    """The service obeys and works by itself meanwhile."""

    ended = asyncio.Event()

    async def work() -> None:
        while not ended.is_set():
            await plant.service.orders.step()
            await plant.turns()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        ended.set()
        await task


async def command(call: Call, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    return await asyncio.to_thread(call, "training", *arguments)


async def test_a_call_that_never_arrived_is_paid_for_as_another_attempt(quick: Plant) -> None:
    await quick.fault("create_training", "drop_before")
    await quick.seals()
    done = await quick.works_until(TrainingSucceeded)
    assert isinstance(done, TrainingSucceeded)
    assert (done.attempt, await states(quick), len(await quick.trainings())) == (2, ["abandoned", "succeeded"], 1)
    assert await quick.kinds() == ["RunStalled", "TrainingStarted", "TrainingSucceeded"]
    assert (await quick.service.readiness()).needs_operator == []
    await quick.books_balance()


async def test_a_training_that_was_not_listed_in_time_is_stopped_and_booked(quick: Plant) -> None:
    await quick.fault("training", "timing", queue_seconds=0, seconds=60, times=2)
    await quick.fault("create_training", "drop_after")
    await quick.fault("list_trainings", "lag", seconds=1.5, times=None)
    quick.gateway.fetches = Deaf()  # the record of its fetch is late as well
    await quick.seals()
    started = await quick.works_until(TrainingStarted)
    assert isinstance(started, TrainingStarted)
    assert (started.attempt, len(await quick.trainings())) == (2, 2)

    async def is_booked() -> bool:
        await quick.turns()
        return bool(await quick.value("select count(*) from provider_training where booked_at is not null"))

    await until(is_booked, 20)
    first = next(row for row in await quick.trainings() if row["id"] != started.training)
    assert first["status"] == "canceled"
    assert await states(quick) == ["abandoned", "running"]
    assert await quick.value("select training from provider_training where booked_at is not null") == first["id"]


class Deaf(list[Any]):
    """Fetches of which no record comes."""

    def append(self, _: object) -> None:
        pass


async def test_a_lost_reply_of_the_second_call_is_adopted(quick: Plant) -> None:
    await quick.fault("create_training", "drop_before")
    await quick.seals()

    async def was_listed() -> bool:
        await quick.turns()
        return bool(await quick.value("select clean_listings from attempt"))

    await until(was_listed, 20)
    await quick.fault("create_training", "drop_after")
    await quick.works_until(TrainingSucceeded)
    assert (await states(quick), len(await quick.trainings())) == (["abandoned", "succeeded"], 1)
    await quick.books_balance()


async def test_an_operator_abandons_what_nobody_can_tell(patient: Plant, lifemask: Call) -> None:
    await patient.fault("create_training", "drop_before")
    await patient.seals()
    run = patient.run["run_id"]
    needs = await asked(patient)
    assert needs.startswith(f"{run}: ")
    assert f"lifemask training abandon {run}" in needs
    stalled = [fact for fact in await patient.facts() if isinstance(fact, RunStalled)]
    assert stalled[-1].failure.code == "training_unsettled"
    code, (waits,) = await command(lifemask, "list")
    assert (code, waits["run"], waits["event"]) == (0, run, "needs_operator")
    code, (dry,) = await command(lifemask, "abandon", run)
    assert (code, dry["ordered"], dry["state"]) == (0, False, "unknown")
    assert await states(patient) == ["unknown"]
    async with working(patient):
        code, lines = await command(lifemask, "abandon", run, "--yes")
        assert (code, lines[-1]["outcome"]) == (0, "abandoned")
        await until(lambda: said(patient, TrainingSucceeded), 20)
    assert await states(patient) == ["abandoned", "succeeded"]
    assert (await command(lifemask, "list"))[1] == []
    assert (await command(lifemask, "abandon", run, "--yes"))[0] == 1
    await patient.books_balance()


async def test_an_operator_names_the_training_that_no_listing_shows(patient: Plant, lifemask: Call) -> None:
    await patient.fault("create_training", "drop_after")
    await patient.fault("list_trainings", "lag", seconds=3600, times=None)
    await patient.seals()
    run = patient.run["run_id"]
    await asked(patient)
    [made] = await patient.trainings()
    async with working(patient):
        code, lines = await command(lifemask, "adopt", run, "unheard-of", "--yes")
        assert (code, lines[-1]["outcome"]) == (1, "refused: the provider knows no such training")
        code, lines = await command(lifemask, "adopt", run, made["id"], "--yes")
        assert (code, lines[-1]["outcome"]) == (0, "adopted")
        await until(lambda: said(patient, TrainingSucceeded), 20)
    assert (await patient.service.readiness()).needs_operator == []
    assert (await states(patient), len(await patient.trainings())) == (["succeeded"], 1)
    await patient.books_balance()


async def test_an_order_for_a_run_that_is_over_is_refused(patient: Plant, lifemask: Call) -> None:
    await patient.fault("create_training", "drop_before")
    await patient.seals()
    run = patient.run["run_id"]
    await asked(patient)
    await patient.service.bus.pool.execute("update baton set deadline_at = now()")
    await patient.turns()
    code, lines = await command(lifemask, "abandon", run, "--yes")
    assert (code, "over" in lines[-1]["what"]) == (1, True)
    assert (await patient.service.readiness()).needs_operator == []
    assert (await command(lifemask, "abandon", "no-such-run"))[0] == 1


async def said(plant: Plant, kind: type[Any]) -> bool:
    return any(isinstance(fact, kind) for fact in await plant.facts())


def test_commands_and_handlers_mean_the_same_messages() -> None:
    from lifemask.cli import training_orders

    types = {route.message.ce_type for route in HANDLERS}
    assert {training_orders._ADOPT, training_orders._ABANDON} <= types
