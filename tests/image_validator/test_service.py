"""Validator and packager on PostgreSQL, wired as in production; only Kafka is left out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from tests.bus.lab import record
from tests.image_validator.test_custody import Uploaded

from lifemask.bus.service import Service
from lifemask.contracts import (
    DatasetSealed,
    Event,
    PhotoJudged,
    PhotoRemoved,
    PhotosValidated,
    RunCancelRequested,
    RunRejected,
    SecurityReported,
)
from lifemask.image_validator.adapters.imaging import PillowImaging
from lifemask.image_validator.settings import ImageValidatorSettings
from lifemask.image_validator.wiring import image_validator
from lifemask.objects import keys
from lifemask.packager.settings import PackagerSettings
from lifemask.packager.wiring import packager
from lifemask.testkit.events import an_event
from lifemask.testkit.objects import InMemoryObjects
from lifemask.testkit.outbox import said

Make = Callable[[str], Awaitable[str]]


@asynccontextmanager
async def validating(database: Make, run: Uploaded) -> AsyncIterator[Service]:
    settings = ImageValidatorSettings(postgres=await database("image-validator"), objects=named(run), backoff=60)
    async with image_validator(settings) as service:
        yield service


def named(run: Uploaded) -> str:
    """The run's own store as a setting."""
    name = uuid4().hex
    InMemoryObjects._named[name] = run.objects
    return f"memory://{name}"


async def receive(service: Service, *events: Event) -> None:
    """Stores the events as the intake does and works until nothing is ready."""
    for event in events:
        await service.intake.store([record(event)])
    for _ in range(60):
        if not await service.worker.step():
            break


async def facts(service: Service) -> list[Event]:
    rows = await service.bus.pool.fetch("select headers, value from outbox order by id")
    return [said(row) for row in rows]


async def test_from_photos_to_a_sealed_archive(database: Make, imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    async with validating(database, run) as service:
        await receive(service, *await run.upload(), await run.submit())
        *judged, validated = await facts(service)
    assert [type(one) for one in judged] == [PhotoJudged] * 14
    assert isinstance(validated, PhotosValidated)
    settings = PackagerSettings(postgres=await database("packager"), objects=named(run), backoff=60)
    async with packager(settings) as service:
        await receive(service, validated)
        [sealed] = await facts(service)
    assert isinstance(sealed, DatasetSealed)
    assert (sealed.photos, sealed.parameters) == (12, validated.parameters)
    assert keys.archive(*run.ids, 1) in run.objects.keys


async def test_a_photo_that_was_swapped_in_the_store_reaches_the_operator(
    database: Make, imaging: PillowImaging
) -> None:
    """The person is told that it is our side; the operator, that somebody writes to the store."""
    run = Uploaded(imaging)
    async with validating(database, run) as service:
        events = await run.upload()
        original = keys.original(*run.ids, events[0].photo_id)
        await run.objects.put(original, await run.objects.get(original, limit=1 << 24) + b"!")
        await receive(service, *events[:2])
        await service.reporter.step()
        judged, sound, reported = await facts(service)
    assert isinstance(judged, PhotoJudged)
    assert isinstance(sound, PhotoJudged)
    assert (judged.codes, sound.usable, sound.codes) == (("copy_damaged",), True, ())
    assert isinstance(reported, SecurityReported)
    [refused] = reported.refused
    assert (refused.reason, refused.type, refused.count) == ("stored photo differs", "lifemask.photo.received", 1)


async def test_a_removed_photo_leaves_too_few(database: Make, imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    async with validating(database, run) as service:
        events = await run.upload()
        await receive(service, *events)
        gone = events[5].photo_id
        del run.photos[gone]
        await receive(service, an_event(PhotoRemoved, **run.world.run, photo_id=gone), await run.submit())
        rejected = (await facts(service))[-1]
    assert isinstance(rejected, RunRejected)
    assert (rejected.received, rejected.usable, rejected.needed) == (13, 11, 1)


async def test_a_store_that_is_away_delays_and_loses_nothing(database: Make, imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    async with validating(database, run) as service:
        events = [*await run.upload(), await run.submit()]
        run.objects.away()
        await receive(service, *events)
        assert await facts(service) == []
        run.objects.heals()
        await service.bus.pool.execute("update lane set ready_at = now()")
        await receive(service)
        found = await facts(service)
    assert isinstance(found[-1], PhotosValidated)
    assert len({one.photo_id for one in found if isinstance(one, PhotoJudged)}) == 14


async def test_a_cancelled_run_is_closed(database: Make, imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    async with validating(database, run) as service:
        first, *others = await run.upload()
        accepted = await run.submit()
        run.objects.away()
        await receive(service, accepted)
        await receive(service, an_event(RunCancelRequested, **run.world.run))
        await service.ender.end(*run.ids)
        run.objects.heals()
        await service.bus.pool.execute("update lane set ready_at = now()")
        await receive(service, first, *others)
        assert [type(one).__name__ for one in await facts(service)] == ["RunCanceled"]
    assert not [key for key in run.objects.keys if "/clean/" in key]
