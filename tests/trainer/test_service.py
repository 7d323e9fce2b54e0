"""The trainer as it is wired, on PostgreSQL, a store and a provider on the wire; only the broker is left out."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.bus.lab import record
from tests.sandbox.world import twelve_photos, until
from tests.trainer.chain import seal_dataset

from lifemask.bus.service import Service
from lifemask.contracts import (
    ArchiveFetched,
    DatasetSealed,
    Event,
    ModelRevoked,
    RunCancelRequested,
    RunFailed,
    RunRequest,
    TrainingCallbackReceived,
    TrainingSucceeded,
)
from lifemask.custody.steps import WEIGHTS
from lifemask.objects import keys, open_objects
from lifemask.objects.archives import SealedArchive, archive_of
from lifemask.objects.port import ObjectStore
from lifemask.objects.tokens import Tokens, load_secret
from lifemask.sandbox.listening import listen, serving
from lifemask.sandbox.server import SandboxUrls, running_sandbox
from lifemask.testkit.custody import AllServices
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.keys import write_keys
from lifemask.testkit.outbox import said
from lifemask.trainer.settings import TrainerSettings
from lifemask.trainer.wiring import trainer

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = RunRequest(name="Portrait", trigger_word="ANNA", steps=500)
NAMES = [f"{number:02d}.jpg" for number in range(12)]


@dataclass
class Plant:
    """One trainer process and the world around it."""

    service: Service
    objects: ObjectStore
    urls: SandboxUrls
    web: httpx.AsyncClient
    settings: TrainerSettings
    run: dict[str, str]
    gateway: "Gateway"

    async def hears_of_fetches(self) -> None:
        """What the gateway told since the last time."""
        while self.gateway.fetches:
            sealed = self.gateway.fetches.pop(0)
            user_id, run_id = sealed.owner
            told = {"user_id": user_id, "run_id": run_id, "attempt": sealed.attempt, "bytes": sealed.bytes}
            await self.receives(an_event(ArchiveFetched, **told))

    async def receives(self, *events: Event) -> None:
        await self.service.intake.store([record(event) for event in events])

    async def seals(self) -> None:
        archive = twelve_photos()
        statement = await seal_dataset(
            self.objects, **self.run_ids, request=REQUEST, archive=archive, names=NAMES, at=AT
        )
        told = {"statement": statement, "parameters": REQUEST.parameters, "photos": len(NAMES), "bytes": len(archive)}
        await self.receives(an_event(DatasetSealed, **self.run, **told))

    @property
    def run_ids(self) -> dict[str, Any]:
        return {"user": self.run["user_id"], "run": self.run["run_id"]}

    async def turns(self) -> None:
        """Reminders are due now, ended runs end, every lane gets a turn."""
        await self.hears_of_fetches()
        await self.service.bus.pool.execute("update reminder set due_at = now() where due_at < now() + interval '1 h'")
        await self.service.ender.end(self.run["user_id"], self.run["run_id"])
        await self.service.timer.step()
        await self.service.worker.step()

    async def works_until(self, wanted: type[Event]) -> Event:
        async def look() -> Event | None:
            await self.turns()
            return next((fact for fact in await self.facts() if isinstance(fact, wanted)), None)

        return await until(look, 20)

    async def facts(self) -> list[Event]:
        rows = await self.service.bus.pool.fetch("select headers, value from outbox order by id")
        return [said(row) for row in rows]

    async def kinds(self) -> list[str]:
        return [type(fact).__name__ for fact in await self.facts() if "Progress" not in type(fact).__name__]

    async def value(self, sql: str) -> Any:
        """One value of our own rows."""
        async with self.service.bus.rows.reading(self.run["user_id"]) as connection:
            return await connection.fetchval(sql)

    async def fault(self, operation: str, effect: str, **more: Any) -> None:
        body = {"operation": operation, "effect": effect, **more}
        (await self.web.post(self.urls.faults, json=body)).raise_for_status()

    async def trainings(self) -> list[dict[str, Any]]:
        return list((await self.web.get(self.urls.ledger)).json()["trainings"])

    async def books_balance(self) -> None:
        """What we booked is what the provider bills, training by training."""
        async with self.service.bus.rows.reading(self.run["user_id"]) as connection:
            ours = {row["training"]: row for row in await connection.fetch("select * from provider_training")}
        theirs = {row["id"]: row for row in await self.trainings()}
        assert ours.keys() == theirs.keys()
        for name, row in theirs.items():
            assert ours[name]["seconds"] == Decimal(str(row["seconds"]))
            assert ours[name]["cost_usd"] == Decimal(row["cost_usd"]).quantize(Decimal("0.0001"))


@dataclass
class Gateway:
    """What ingest serves to the provider: archives by token, each fetch noted. Callbacks are lost."""

    objects: ObjectStore
    tokens: Tokens
    fetches: list[SealedArchive] = field(default_factory=list)

    async def archive(self, request: Request) -> Response:
        sealed = archive_of(self.tokens.open(request.path_params["token"], datetime.now(UTC)))
        content = await self.objects.get(sealed.key, limit=10_000_000)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (sealed.bytes, sealed.sha256)
        self.fetches.append(sealed)
        return Response(content)

    async def callback(self, request: Request) -> Response:
        assert self.tokens.open(request.path_params["token"], datetime.now(UTC)).purpose == "callback"
        return Response(status_code=204)


@asynccontextmanager
async def planted(folder: Path, database: str, **changes: Any) -> AsyncIterator[Plant]:
    sock = listen("127.0.0.1")
    quick = {"queue_seconds": 0.1, "training_seconds": 0.5, "weight_bytes": 300_000, "webhook_retry_seconds": 0}
    async with (
        running_sandbox(folder / "sandbox", **quick) as urls,
        open_objects(f"file://{folder / 'objects'}") as objects,
        httpx.AsyncClient(trust_env=False) as web,
    ):
        settings = TrainerSettings(
            postgres=database,
            objects=f"file://{folder / 'objects'}",
            keys=write_keys(folder / "keys"),
            public_url=f"http://127.0.0.1:{sock.getsockname()[1]}",
            replicate_api_token=SecretStr(urls.replicate_token),
            replicate_base_url=urls.replicate,
            replicate_destination="lifemask/loras",
            **{"create_timeout": 2, **changes},
        )
        gateway = Gateway(objects, Tokens(load_secret(folder / "keys")))
        routes = [
            Route("/v1/objects/{token}", gateway.archive),
            Route("/v1/callbacks/replicate/{token}", gateway.callback, methods=["POST"]),
        ]
        async with serving((Starlette(routes=routes), sock)), trainer(settings) as service:
            yield Plant(service, objects, urls, web, settings, a_run(), gateway)


@pytest.fixture
async def plant(tmp_path: Path, database: Callable[[str], Awaitable[str]]) -> AsyncIterator[Plant]:
    async with planted(tmp_path, await database("trainer")) as found:
        yield found


async def test_from_a_sealed_dataset_to_sealed_weights(plant: Plant) -> None:
    await plant.seals()
    done = await plant.works_until(TrainingSucceeded)
    assert isinstance(done, TrainingSucceeded)
    assert await plant.kinds() == ["TrainingStarted", "TrainingSucceeded"]
    user, run = plant.run["user_id"], plant.run["run_id"]
    weights = await plant.objects.get(keys.weights(user, run, 1), limit=1_000_000)
    assert len(weights) == done.bytes
    link = await AllServices(plant.objects).open(WEIGHTS, done.statement, user, run)
    assert (link.fields.echo, link.fields.training, link.fields.fetches) == ("matched", done.training, 1)
    assert await plant.value("select state from attempt") == "succeeded"
    await plant.books_balance()


async def test_a_lost_answer_is_adopted(plant: Plant) -> None:
    await plant.fault("create_training", "drop_after")
    await plant.seals()
    await plant.works_until(TrainingSucceeded)
    assert await plant.kinds() == ["TrainingStarted", "TrainingSucceeded"]
    assert len(await plant.trainings()) == 1
    await plant.books_balance()


async def test_a_call_that_never_arrived_leaves_the_run_delayed(plant: Plant) -> None:
    await plant.fault("create_training", "drop_before")
    await plant.seals()
    for _ in range(5):
        await plant.turns()
    assert await plant.kinds() == ["RunStalled"]
    assert await plant.trainings() == []
    assert await plant.value("select state from attempt") == "unknown"


async def test_a_busy_provider_costs_no_try(plant: Plant) -> None:
    await plant.fault("create_training", "answer", status=429, retry_after=1, times=2)
    await plant.seals()
    for _ in range(2):
        await plant.turns()
        assert await plant.value("select state from attempt") == "intended"
        await plant.service.bus.pool.execute("update lane set ready_at = now()")
    assert await plant.service.bus.pool.fetchval("select attempts from inbox") == 0
    await plant.works_until(TrainingSucceeded)
    assert len(await plant.trainings()) == 1


async def test_a_worker_that_ends_inside_the_call(plant: Plant) -> None:
    await plant.fault("create_training", "delay", seconds=0.5)
    await plant.seals()
    turn = asyncio.create_task(plant.turns())

    async def is_creating() -> bool:
        return bool(await plant.value("select state = 'creating' from attempt"))

    await until(is_creating)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await plant.service.bus.pool.execute("update lane set ready_at = now()")
    await plant.turns()
    assert await plant.value("select state from attempt") in {"unknown", "running"}
    made = await plant.trainings()  # whether the call got through is the provider's secret
    if made:
        await plant.works_until(TrainingSucceeded)
        await plant.books_balance()
    assert len(await plant.trainings()) == len(made) <= 1


async def test_a_cancelled_run_leaves_nothing_running_and_nothing_unpaid(plant: Plant) -> None:
    await plant.fault("training", "timing", queue_seconds=0, seconds=60)
    await plant.seals()

    async def is_running() -> bool:
        await plant.turns()
        return bool(await plant.value("select state = 'running' from attempt"))

    await until(is_running)
    await plant.receives(an_event(RunCancelRequested, **plant.run))

    async def is_booked() -> bool:
        await plant.turns()
        return bool(await plant.value("select booked_at from provider_training"))

    await until(is_booked)
    assert (await plant.kinds())[-1] == "RunCanceled"
    assert [row["is_over"] for row in await plant.trainings()] == [True]
    await plant.books_balance()


async def test_a_failed_training_ends_the_run_with_its_cost(plant: Plant) -> None:
    await plant.fault("training", "fail")
    await plant.seals()
    failed = await plant.works_until(RunFailed)
    assert isinstance(failed, RunFailed)
    assert (failed.failure.code, Decimal(failed.cost_usd or 0) > 0) == ("training_failed", True)
    assert "CUDA" not in failed.model_dump_json()
    await plant.books_balance()


async def test_an_exchanged_archive_is_never_paid_for(plant: Plant) -> None:
    user, run = plant.run["user_id"], plant.run["run_id"]
    await plant.seals()
    await plant.objects.put(keys.archive(user, run, 1), b"somebody else's photos")
    failed = await plant.works_until(RunFailed)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"
    assert await plant.trainings() == []


async def test_a_callback_is_quicker_than_the_look(plant: Plant) -> None:
    await plant.seals()
    await plant.service.worker.step()
    [training] = await plant.trainings()

    async def is_over() -> bool:
        return bool((await plant.trainings())[0]["is_over"])

    await until(is_over)
    await plant.hears_of_fetches()
    await plant.service.worker.step()
    await plant.receives(an_event(TrainingCallbackReceived, **plant.run, training=training["id"], attempt=1))
    await plant.service.worker.step()
    assert await plant.kinds() == ["TrainingStarted", "TrainingSucceeded"]


async def test_a_revoked_model_is_gone_at_the_provider(plant: Plant) -> None:
    await plant.seals()
    await plant.works_until(TrainingSucceeded)
    [before] = await plant.trainings()
    assert (before["version_deleted"], before["model_version"] is not None) == (False, True)
    await plant.fault("delete_version", "drop_before")
    revoked = an_event(ModelRevoked, **plant.run)
    await plant.receives(revoked, revoked)

    async def is_deleted() -> bool:
        await plant.turns()
        return bool((await plant.trainings())[0]["version_deleted"])

    await until(is_deleted)
    await plant.turns()
    assert await plant.value("select forgotten_at is not null from attempt")
    await plant.receives(an_event(ModelRevoked, **plant.run))
    for _ in range(3):
        await plant.turns()
    assert await plant.kinds() == ["TrainingStarted", "TrainingSucceeded"]
    assert await plant.service.bus.pool.fetchval("select count(*) from inbox where dead_at is not null") == 0
    await plant.books_balance()
