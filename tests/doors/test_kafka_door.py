"""Uploads that apps announce on Kafka: taken over, sealed, and every one of them answered."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.doors.upstream import USER, Upstream, packed, uploaded
from tests.ingest.world import World, photo

from lifemask.contracts import (
    PhotoReceived,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunCancelRequested,
    RunFailed,
    RunRequest,
    new_id,
    photo_id_of,
)
from lifemask.custody.envelopes import read_envelope
from lifemask.custody.statements import read_act
from lifemask.custody.steps import DISPOSAL, UPLOAD, DisposalFields
from lifemask.ingest.adapters.sweep import sweep
from lifemask.objects import keys
from lifemask.testkit.custody import AllServices, chain_of
from lifemask.testkit.events import an_event


async def test_an_upload_becomes_a_sealed_run_and_leaves_nothing_behind(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"), request=RunRequest(name="Me", metadata={"order": "7"}))
    await upstream.publish(event)
    facts = await world.facts()
    received = [fact for fact in facts if isinstance(fact, PhotoReceived)]
    (accepted,) = [fact for fact in facts if isinstance(fact, RunAccepted)]
    assert (len(received), accepted.photos, accepted.door, accepted.run) == (12, 12, "kafka", event.run)
    link = await AllServices(upstream.objects).open(UPLOAD, accepted.statement, USER, event.run_id)
    assert (link.fields.door, [each.id for each in link.manifest.photos]) == (
        "kafka",
        [one.photo_id for one in received],
    )
    for number, one in enumerate(received):
        kept = await upstream.objects.get(keys.original(USER, event.run_id, one.photo_id), limit=100_000)
        assert kept == photo(number)
    assert upstream.incoming == []
    assert await world.rows("select what, objects, result from disposal") == [
        {"what": "incoming", "objects": 12, "result": "deleted"}
    ]


async def test_the_run_is_shown_like_any_other(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"), request=RunRequest(name="Me", metadata={"order": "7"}))
    await upstream.publish(event)
    await world.echo()
    shown = await world.view(event.run_id)
    assert (shown["status"], shown["name"], shown["photos"]["received"]) == ("validating", "Me", 12)
    assert shown["metadata"] == {"order": "7"}
    assert shown["timings"]["submitted_at"]
    listed = (await world.http.get(f"/v1/users/u1/runs/{event.run_id}/photos")).json()["photos"]
    assert [each["name"] for each in listed] == list(event.objects)
    assert (await world.http.get("/v1/users/u1")).json()["model_status"] == "in_progress"
    await world.receive(an_event(PhotosValidated, **event.run))
    assert (await world.view(event.run_id))["status"] == "packaging"


async def test_the_run_takes_no_photos_over_http_and_cannot_be_sealed_early(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    await world.service.intake.store([packed(event)])
    await world.service.worker.step()
    base = f"/v1/users/u1/runs/{event.run_id}"
    assert (await world.http.post(f"{base}/photos", files={"a": ("a.jpg", photo(99))})).status_code == 409
    assert (await world.http.post(f"{base}/submit")).status_code == 202
    assert await upstream.said() == []
    await world.settle()
    assert [type(fact) for fact in await upstream.said()] == [RunAccepted]


async def test_the_same_event_again_says_nothing_new(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    await upstream.publish(event, name="e1")
    await upstream.publish(event, name="e1")
    await upstream.publish(event, name="e2")
    await world.echo()
    await upstream.publish(event, name="e3")
    assert [type(fact) for fact in await upstream.said()] == [RunAccepted]
    assert await upstream.security() == []


async def test_a_file_that_comes_twice_counts_once(world: World, upstream: Upstream) -> None:
    names = await upstream.put("up-1", others={"again.jpg": photo(3), "more.jpg": photo(3)})
    await upstream.publish(uploaded("up-1", (*names, names[0])))
    (accepted,) = await upstream.said()
    assert isinstance(accepted, RunAccepted)
    assert accepted.photos == 12
    assert len([key for key in world.objects if "/original/" in key]) == 12


async def test_a_store_that_is_away_delays_this_run_alone(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    folder = world.folder / "incoming"
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    folder.symlink_to(hidden)  # the store refuses to walk through links
    await upstream.publish(event)
    assert await upstream.said() == []
    assert (await world.view(event.run_id))["status"] == "accepted"
    assert world.service.pause.reason is None
    folder.unlink()
    hidden.rename(folder)
    await world.time_passes()
    assert [type(fact) for fact in await upstream.said()] == [RunAccepted]


async def test_a_takeover_that_never_succeeds_ends_at_the_deadline(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    await world.service.intake.store([packed(event)])
    pool = world.service.bus.pool
    assert await pool.fetchval("select deadline_at - taken_at from baton") == timedelta(hours=6)
    await pool.execute("update baton set deadline_at = now()")
    await world.service.ender.end(USER, event.run_id)
    await world.settle()
    (failed,) = await upstream.said()
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "deadline"
    await world.echo()
    assert (await world.view(event.run_id))["status"] == "failed"
    assert upstream.incoming == []


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
async def test_a_cancel_at_any_moment_ends_the_run_and_clears_up(world: World, upstream: Upstream, steps: int) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    await world.service.intake.store([packed(event)])
    for _ in range(steps):
        await world.service.worker.step()
        await world.service.timer.step()
    await world.service.intake.store([packed(an_event(RunCancelRequested, **event.run))])
    await world.service.ender.end(USER, event.run_id)
    await world.settle()
    await world.echo()
    assert [type(fact) for fact in await upstream.said()] == [RunCanceled]
    await world.time_passes()
    assert upstream.incoming == []
    assert [key for key in world.objects if "/original/" in key] == []


async def test_a_takeover_cut_off_anywhere_seals_the_same_bytes(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    await world.service.intake.store([packed(event)])
    for cut in range(8):  # the worker dies in the middle of each step, later and later
        working = asyncio.create_task(world.service.worker.step())
        for _ in range(cut * 10):
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await world.service.bus.pool.execute("update lane set ready_at = now()")
        await world.service.worker.step()
        await world.service.timer.step()
    await world.settle()
    (accepted,) = await upstream.said()
    assert isinstance(accepted, RunAccepted)
    link = await AllServices(upstream.objects).open(UPLOAD, accepted.statement, USER, event.run_id)
    assert len(link.manifest.photos) == 12
    assert len([key for key in world.objects if "/original/" in key]) == 12


async def test_uploads_that_are_never_announced_are_swept(upstream: Upstream) -> None:
    await upstream.put("up-1", photos=2)
    now, chain = datetime.now(UTC), chain_of(upstream.objects, "ingest")
    assert await sweep(upstream.objects, chain, now - timedelta(days=7)) == 0
    assert await sweep(upstream.objects, chain, now + timedelta(minutes=1)) == 2
    assert upstream.incoming == []
    [told] = [info.key async for info in upstream.objects.list("disposals/")]
    data = await upstream.objects.get(told, limit=1 << 20)
    said = read_act(DISPOSAL, read_envelope(DISPOSAL, data).payload)
    assert said.common.run is None
    assert isinstance(said.fields, DisposalFields)
    assert [(gone.what, gone.objects) for gone in said.fields.gone] == [("incoming", 2)]


async def test_ids_of_photos_follow_from_run_and_object() -> None:
    run = new_id()
    assert photo_id_of(run, "a.jpg") == photo_id_of(run, "a.jpg")
    assert photo_id_of(run, "a.jpg") != photo_id_of(run, "b.jpg") != photo_id_of(new_id(), "b.jpg")
    assert an_event(PhotoReceived, photo_id=photo_id_of(run, "a.jpg")).photo_id[:13] == run[:13]
