"""Trainer, ingest and a provider on the wire: what became of an archive between the last look at it and its fetch."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.bus.lab import record
from tests.ingest.world import World, a_world, served
from tests.sandbox.world import picture, twelve_photos, until, zipped
from tests.trainer.chain import seal_dataset

from lifemask.bus.service import Service
from lifemask.contracts import ArchiveFetched, DatasetSealed, Event, RunFailed, RunRequest, TrainingSucceeded
from lifemask.custody.steps import WEIGHTS
from lifemask.objects import keys, open_objects
from lifemask.objects.port import ObjectStore
from lifemask.sandbox.server import SandboxUrls, running_sandbox
from lifemask.testkit.custody import AllServices
from lifemask.testkit.events import an_event
from lifemask.testkit.outbox import said
from lifemask.trainer.settings import TrainerSettings
from lifemask.trainer.wiring import trainer

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = RunRequest(name="Portrait", trigger_word="ANNA", steps=500)
NAMES = [f"{number:02d}.jpg" for number in range(12)]
ARCHIVE = twelve_photos()
OTHERS = zipped({name: picture((number + 1) % 12) for number, name in enumerate(NAMES)})
"""Of the same size: each photo under another one's name."""
USER = "acme.u1"


@dataclass
class House:
    """Both services over one store; what ingest says to the trainer is carried over by hand."""

    ingest: World
    trainer: Service
    objects: ObjectStore
    urls: SandboxUrls
    web: httpx.AsyncClient
    run: str
    carried: set[str] = field(default_factory=set)

    @property
    def ids(self) -> dict[str, str]:
        return {"user_id": USER, "run_id": self.run}

    async def seals(self) -> None:
        """The dataset goes to the trainer, which looks at it and pays; the provider fetches a second later."""
        statement = await seal_dataset(
            self.objects, USER, self.run, request=REQUEST, archive=ARCHIVE, names=NAMES, at=AT
        )
        told = {"statement": statement, "parameters": REQUEST.parameters, "photos": 12, "bytes": len(ARCHIVE)}
        await self.trainer.intake.store([record(an_event(DatasetSealed, **self.ids, **told))])
        await self.turns()
        assert [row["status"] for row in await self.trainings()] == ["starting"]

    async def lies(self, content: bytes) -> None:
        """This now lies in the archive's place."""
        await self.objects.put(keys.archive(USER, self.run, 1), content)

    async def turns(self) -> None:
        """Whatever is due, in both services."""
        await self.ingest.settle()
        rows = await self.ingest.service.bus.pool.fetch("select msg_id, headers, value from outbox order by id")
        for row in rows:
            event = said(row)
            if isinstance(event, ArchiveFetched) and row["msg_id"] not in self.carried:
                self.carried.add(row["msg_id"])
                await self.trainer.intake.store([record(event)])
        await self.trainer.bus.pool.execute("update reminder set due_at = now() where due_at < now() + interval '1 h'")
        await self.trainer.timer.step()
        await self.trainer.worker.step()

    async def works_until(self, wanted: type[Event]) -> Event:
        async def look() -> Event | None:
            await self.turns()
            return next((fact for fact in await self.facts() if isinstance(fact, wanted)), None)

        return await until(look, 20)

    async def facts(self) -> list[Event]:
        rows = await self.trainer.bus.pool.fetch("select headers, value from outbox order by id")
        return [said(row) for row in rows]

    async def fetches(self) -> list[str]:
        """What is on record, in words."""
        facts = [fact for fact in await self.ingest.facts() if isinstance(fact, ArchiveFetched)]
        return [fact.refused.value if fact.refused else "verified" for fact in facts]

    async def trainings(self) -> Sequence[dict[str, Any]]:
        return list((await self.web.get(self.urls.ledger)).json()["trainings"])

    async def ended(self) -> dict[str, Any]:
        """The only training, once it is over and on our books."""

        async def look() -> dict[str, Any] | None:
            await self.turns()
            async with self.trainer.bus.rows.reading(USER) as connection:
                booked = await connection.fetchval("select count(*) from provider_training where booked_at is not null")
            [training] = await self.trainings()
            return training if training["is_over"] and booked else None

        return await until(look, 20)


@asynccontextmanager
async def housed(
    folder: Path, ingest_dsn: str, trainer_dsn: str, queue: float = 1.0, **settings: Any
) -> AsyncIterator[House]:
    quick = {"queue_seconds": queue, "training_seconds": 0.3, "weight_bytes": 300_000, "webhook_retry_seconds": 0}
    async with (
        running_sandbox(folder / "sandbox", **quick) as urls,
        a_world(ingest_dsn, folder) as world,
        served(world.service.app) as public_url,
        open_objects(world.settings.objects) as objects,
        httpx.AsyncClient(trust_env=False) as web,
    ):
        chosen = TrainerSettings(
            postgres=trainer_dsn,
            objects=world.settings.objects,
            keys=world.settings.keys,
            public_url=public_url,
            replicate_api_token=SecretStr(urls.replicate_token),
            replicate_base_url=urls.replicate,
            replicate_destination="lifemask/loras",
            **settings,
        )
        async with trainer(chosen) as service:
            yield House(world, service, objects, urls, web, await world.draft())


@pytest.fixture
async def house(tmp_path: Path, database: Callable[[str], Awaitable[str]]) -> AsyncIterator[House]:
    async with housed(tmp_path, await database("ingest"), await database("trainer")) as found:
        yield found


async def test_the_sealed_archive_is_fetched_and_counted(house: House) -> None:
    await house.seals()
    done = await house.works_until(TrainingSucceeded)
    assert isinstance(done, TrainingSucceeded)
    assert await house.fetches() == ["verified"]
    link = await AllServices(house.objects).open(WEIGHTS, done.statement, USER, house.run)
    assert (link.fields.fetches, link.fields.echo) == (1, "matched")
    [training] = await house.trainings()
    assert training["archive"]["sha256"] == hashlib.sha256(ARCHIVE).hexdigest()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (OTHERS, "other_bytes"),
        (ARCHIVE[:-1], "other_size"),
        (zipped({**dict.fromkeys(NAMES, picture(1)), "12.jpg": picture(2)}), "other_size"),
        (b"", "other_size"),
    ],
)
async def test_an_archive_exchanged_before_the_fetch_is_never_trained_on(
    house: House, content: bytes, why: str
) -> None:
    assert len(OTHERS) == len(ARCHIVE)
    await house.seals()
    await house.lies(content)
    failed = await house.works_until(RunFailed)
    assert isinstance(failed, RunFailed)
    assert (failed.failure.code, failed.failure.move) == ("custody_broken", "us")
    training = await house.ended()
    assert (training["archive"], training["status"], training["seconds"]) == (None, "canceled", 0)
    assert await house.fetches() == [why]
    assert [type(fact).__name__ for fact in await house.facts()].count("RunFailed") == 1
    assert await house.objects.head(keys.weights(USER, house.run, 1)) is None


async def test_exchanged_and_put_back_trains_on_the_sealed_bytes_or_not_at_all(house: House) -> None:
    await house.seals()
    await house.lies(OTHERS)
    await house.lies(ARCHIVE)
    await house.works_until(TrainingSucceeded)
    [training] = await house.trainings()
    assert training["archive"]["sha256"] == hashlib.sha256(ARCHIVE).hexdigest()


async def test_put_back_after_the_first_try_is_too_late(house: House) -> None:
    await house.seals()
    await house.lies(OTHERS)

    async def withheld() -> bool:
        return bool(await house.fetches())

    await until(withheld)
    await house.lies(ARCHIVE)
    failed = await house.works_until(RunFailed)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"
    training = await house.ended()
    assert training["archive"] is None or training["archive"]["sha256"] == hashlib.sha256(ARCHIVE).hexdigest()
    assert not any(isinstance(fact, TrainingSucceeded) for fact in await house.facts())


async def test_a_provider_that_trained_on_something_else_is_not_believed(
    tmp_path: Path, database: Callable[[str], Awaitable[str]]
) -> None:
    """What the gateway tells is lost on the way: to the trainer this is a success without a fetch."""
    async with housed(tmp_path, await database("ingest"), await database("trainer"), 0.1, record_looks=2) as house:
        house.carried = Everything()
        await house.seals()
        failed = await house.works_until(RunFailed)
        assert isinstance(failed, RunFailed)
        assert failed.failure.code == "custody_broken"
        assert failed.cost_usd is not None
        assert await house.objects.head(keys.weights(USER, house.run, 1)) is None


class Everything(set[str]):
    """Knows every message already."""

    def __contains__(self, item: object) -> bool:
        return True
