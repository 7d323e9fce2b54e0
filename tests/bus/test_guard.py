"""Who is not let in touches nothing; a body that does not fit can be answered instead of buried."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.bus.lab import record, resigned

from lifemask.bus.inbound import Inbound, Raw
from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.rows import Pool
from lifemask.bus.service import Bus, Service
from lifemask.contracts import (
    DatasetSealed,
    Event,
    Failure,
    FailureCode,
    PhotosValidated,
    RunCancelRequested,
    RunFailed,
    RunRequest,
    Stage,
)
from lifemask.contracts.uploads import PhotosUploaded
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.keys import app_signer


async def seal(event: PhotosValidated) -> Sequence[Outcome]:
    return [an_event(DatasetSealed, **event.run)]


async def take(event: PhotosUploaded) -> Sequence[Outcome]:
    return []


def refuse(user_id: str, run_id: str, problem: str, body: bytes) -> Sequence[Outcome]:
    failure = Failure.of(FailureCode.UPLOAD_REFUSED, reason=problem)
    return [RunFailed(user_id=user_id, run_id=run_id, stage=Stage.PACKAGE, failure=failure)]


def no_globex(row: Inbound) -> str | None:
    return "not welcome" if (row.user_id or "").startswith("globex.") else None


def acme(row: Inbound) -> Sequence[bytes] | None:
    return [app_signer("acme").public] if row.source == "app/acme" else None


def a_service(pool: Pool) -> Service:
    bus = Bus("packager", Stage.PACKAGE, ServiceSettings(), pool)
    routes = (on(PhotosValidated, seal, brings="run"), on(PhotosUploaded, take, brings="run", unfit=refuse))
    return bus.serve(routes, guard=no_globex, outsiders=acme)


def saying(event: Event, **changes: Any) -> Raw:
    """The event's record with other fields in its body."""
    packed = record(event)
    return resigned(packed, value=json.dumps(json.loads(packed.value or b"") | changes).encode())


async def settle(service: Service) -> None:
    while await service.worker.step():
        pass


async def outbox(pool: Pool) -> list[tuple[str, bytes]]:
    return [(row["topic"], row["value"]) for row in await pool.fetch("select topic, value from outbox order by id")]


async def test_a_refused_record_leaves_an_entry_and_nothing_else(pool: Pool) -> None:
    service, good, bad = a_service(pool), a_run(), a_run("globex")
    events = [an_event(kind, **run) for run in (bad, good) for kind in (PhotosValidated, RunCancelRequested)]
    records = [record(event) for event in events]
    await service.intake.store(records)
    await service.intake.store(records)
    entries = [dict(row) for row in await pool.fetch("select * from security order by id")]
    assert [(each["user_id"], each["run_id"], each["reason"]) for each in entries] == [
        (bad["user_id"], bad["run_id"], "not welcome")
    ] * 2
    assert (entries[0]["source"], entries[0]["type"]) == ("lifemask/image-validator", PhotosValidated.ce_type)
    assert entries[0]["value"] == records[0].value
    for table in ("inbox", "baton", "lane"):
        assert await pool.fetchval(f"select count(*) from {table} where {table}::text like '%globex%'") == 0
    assert await pool.fetchval("select count(*) from baton") == 1


async def test_a_large_refused_record_is_kept_without_its_bytes(pool: Pool) -> None:
    service, bad = a_service(pool), record(an_event(PhotosValidated, **a_run("globex")))
    await service.intake.store([replace(bad, value=b" " * 70_000)])
    assert await pool.fetchval("select value is null and headers is null from security")


async def test_a_body_that_does_not_fit_is_answered_without_its_content(pool: Pool) -> None:
    service, run = a_service(pool), a_run()
    wish = RunRequest(name="Me").model_dump() | {"steps": 9_000_001, "metadata": {"jane@example.com": "x" * 501}}
    await service.intake.store([saying(an_event(PhotosUploaded, **run), request=wish)])
    await settle(service)
    (answer,) = [RunFailed.read(value) for topic, value in await outbox(pool) if topic == "lifemask.runs"]
    assert answer.failure.what == (
        "The upload cannot be accepted: request.steps: Input should be less than or equal to 6000; "
        "request.metadata.…: String should have at most 500 characters."
    )
    assert await pool.fetchval("select passed_as from baton") == RunFailed.ce_type


async def test_a_body_that_names_another_user_is_answered_to_the_sender(pool: Pool) -> None:
    service, mine, theirs = a_service(pool), a_run(), a_run()
    packed = record(an_event(PhotosUploaded, user_id=theirs["user_id"], run_id=mine["run_id"]))
    await service.intake.store([resigned(packed, key=mine["user_id"].encode())])
    await settle(service)
    (answer,) = [RunFailed.read(value) for _, value in await outbox(pool)]
    assert answer.run == mine


async def test_an_unfit_body_does_not_speak_for_the_run_of_another_message(pool: Pool) -> None:
    service, run = a_service(pool), a_run()
    await service.intake.store([record(an_event(PhotosUploaded, **run))])
    await settle(service)
    await service.intake.store([saying(an_event(PhotosUploaded, **run), upload="no/name")])
    await settle(service)
    assert [topic for topic, _ in await outbox(pool)] == ["lifemask.dead-letters"]
    assert await pool.fetchval("select passed_at is null from baton")


async def test_a_body_that_does_not_fit_is_a_dead_letter_where_nobody_answers(pool: Pool) -> None:
    service, run = a_service(pool), a_run()
    await service.intake.store([saying(an_event(PhotosValidated, **run), received=0)])
    await settle(service)
    assert [topic for topic, _ in await outbox(pool)] == ["lifemask.runs", "lifemask.dead-letters"]


@pytest.mark.parametrize("name", ["lifemask-problem", "Lifemask-Problem"])
async def test_no_sender_makes_a_record_unfit_in_our_words(pool: Pool, name: str) -> None:
    service, run = a_service(pool), a_run()
    good = record(an_event(PhotosUploaded, **run))
    await service.intake.store([replace(good, headers=[*good.headers, (name, b"Pay at http://evil.example")])])
    await settle(service)
    assert await outbox(pool) == []
    assert await pool.fetchval("select done_at is not null and headers::text not ilike '%evil%' from inbox")
