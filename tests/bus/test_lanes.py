"""Order per user, nobody hindered by another's trouble, duplicates, zombies, retries, dead letters."""

import asyncio
from datetime import timedelta

import pytest
from tests.bus.lab import Lab, Note, Nudge, Script, record, resigned

from lifemask.bus.inbound import CONTROL
from lifemask.bus.outcomes import Keep, Later, Misconfigured, Retryable, Unprocessable
from lifemask.bus.rows import Pool
from lifemask.contracts import (
    DatasetSealed,
    FailureCode,
    PhotoJudged,
    PhotosValidated,
    RunStalled,
    Topic,
    new_id,
)
from lifemask.testkit.events import a_run, an_event


async def test_messages_of_a_user_are_handled_in_the_order_of_the_log(lab: Lab) -> None:
    users = [a_run() for _ in range(3)]
    sent = [an_event(PhotoJudged, **run, photo_id=new_id()) for _ in range(10) for run in users]
    await lab.receive(*sent)
    await lab.settle()
    for run in users:
        mine = [event for event in sent if event.user_id == run["user_id"]]
        assert [event for event in lab.script.seen if event.user_id == run["user_id"]] == mine


async def test_a_failing_lane_delays_nobody_else(lab: Lab) -> None:
    bad, good = a_run(), a_run()
    lab.script.poison.add(bad["user_id"])
    await lab.receive(an_event(PhotoJudged, **bad), an_event(PhotoJudged, **good))
    await lab.settle()
    assert [event.user_id for event in lab.script.seen] == [good["user_id"]]
    assert await lab.count("attempts = 1 and done_at is null") == 1


async def test_a_message_behind_a_failing_one_waits_for_it(lab: Lab) -> None:
    run = a_run()
    first, second = an_event(PhotoJudged, **run, photo_id=new_id()), an_event(PhotoJudged, **run, photo_id=new_id())
    lab.script.failures = [Retryable(FailureCode.STORE_UNAVAILABLE)]
    await lab.receive(first, second)
    await lab.settle()
    assert lab.script.seen == []
    await lab.time_passes()
    await lab.settle()
    assert lab.script.seen == [first, second]


async def test_a_duplicate_has_one_effect(lab: Lab) -> None:
    event = an_event(PhotosValidated, **a_run())
    await lab.receive(event, event, name="same")
    await lab.receive(event, name="same")
    await lab.settle()
    await lab.receive(event, name="same")
    await lab.settle()
    assert await lab.kinds() == ["DatasetSealed"]


async def test_one_identity_with_other_bytes_is_a_dead_letter(lab: Lab) -> None:
    run = a_run()
    await lab.receive(an_event(PhotosValidated, **run, usable=12), name="same")
    await lab.receive(an_event(PhotosValidated, **run, usable=13), name="same")
    await lab.settle()
    assert [event.usable for event in lab.script.seen if isinstance(event, PhotosValidated)] == [12]
    assert await lab.count("dead_at is not null") == 1


async def test_a_true_record_without_its_user_is_kept_and_the_others_flow(lab: Lab) -> None:
    good = [record(an_event(PhotoJudged, **a_run())) for _ in range(100)]
    bad = resigned(record(an_event(PhotoJudged, **a_run())), key=b"nobody", value=b"\xff{")
    await lab.service.intake.store([*good[:50], bad, *good[50:]])
    await lab.settle()
    assert len(lab.script.seen) == 100
    notice = await lab.pool.fetchrow("select value, headers from outbox where topic = $1", Topic.DEAD_LETTERS)
    assert notice is not None
    assert notice["value"] == b"\xff{"
    assert "lifemask-code" in notice["headers"]


async def test_a_zombie_past_its_lease_changes_nothing(pool: Pool) -> None:
    frozen = Lab.of(pool, Script(gate=asyncio.Event()))
    other = Lab.of(pool)
    await frozen.receive(an_event(PhotosValidated, **a_run()))
    zombie = asyncio.create_task(frozen.turn())
    await frozen.script.entered.wait()
    await other.time_passes()
    await other.settle()
    assert await other.kinds() == ["DatasetSealed"]
    assert frozen.script.gate is not None
    frozen.script.gate.set()
    await zombie
    assert await other.kinds() == ["DatasetSealed"]
    assert await pool.fetchval("select sum(todo) from lane") == 0


async def test_a_lost_lane_stops_its_handler(pool: Pool) -> None:
    lab = Lab.of(pool, Script(gate=asyncio.Event()), lease=0.03)
    await lab.receive(an_event(PhotosValidated, **a_run()))
    keeper = asyncio.create_task(lab.service.worker.keep_leases())
    working = asyncio.create_task(lab.service.worker.run())
    await lab.script.entered.wait()
    task = next(iter(lab.service.worker.active.values()))[1]
    await pool.execute("update lane set epoch = epoch + 1, ready_at = now() + interval '1 hour'")
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    for loop in (keeper, working):
        loop.cancel()
    await asyncio.gather(keeper, working, return_exceptions=True)


async def test_after_the_last_attempt_the_run_is_told_of_the_delay(pool: Pool) -> None:
    lab = Lab.of(pool, max_attempts=3)
    run = a_run()
    lab.script.failures = [Retryable(FailureCode.HUB_BUSY)] * 3
    await lab.receive(an_event(PhotosValidated, **run))
    for _ in range(3):
        await lab.settle()
        await lab.time_passes()
    (stalled,) = await lab.facts()
    assert isinstance(stalled, RunStalled)
    assert (stalled.stage, stalled.failure.code) == ("package", "hub_busy")
    assert await lab.pool.fetchval("select jsonb_array_length(error) from inbox") == 3
    assert await lab.pool.fetchval("select passed_at from baton") is None


async def test_a_poisoned_message_that_brought_no_run_stalls_no_run(lab: Lab) -> None:
    lab.script.failures = [Unprocessable(FailureCode.MESSAGE_UNREADABLE)]
    await lab.receive(an_event(PhotoJudged, **a_run()))
    await lab.settle()
    assert await lab.kinds() == []
    assert await lab.count("dead_at is not null") == 1


async def test_a_polite_wait_costs_no_attempt(lab: Lab) -> None:
    lab.script.failures = [
        Retryable(FailureCode.PROVIDER_BUSY, after=timedelta(seconds=30), counts=False) for _ in range(30)
    ]
    await lab.receive(an_event(PhotosValidated, **a_run()))
    for _ in range(31):
        await lab.settle()
        await lab.time_passes()
    assert await lab.kinds() == ["DatasetSealed"]
    assert await lab.pool.fetchval("select attempts from inbox") == 0


class Killed(BaseException):
    """The worker's process is gone: nobody tidies up."""


async def test_something_cancelled_inside_a_handler_is_a_fault_of_that_handler(lab: Lab) -> None:
    lab.script.failures = [asyncio.CancelledError(), TimeoutError(), OSError("disk full")]
    await lab.receive(an_event(PhotosValidated, **a_run()))
    for _ in range(4):
        await lab.settle()
        await lab.time_passes()
    assert await lab.kinds() == ["DatasetSealed"]
    assert await lab.pool.fetchval("select attempts from inbox") == 3


async def test_a_message_that_kills_every_worker_ends_as_a_dead_letter(pool: Pool) -> None:
    lab = Lab.of(pool, max_claims=4)
    lab.script.failures = [Killed()] * 4
    await lab.receive(an_event(PhotosValidated, **a_run()))
    for _ in range(4):
        await asyncio.gather(lab.turn(), return_exceptions=True)
        await lab.time_passes()
    await lab.settle()
    assert await lab.kinds() == ["RunStalled"]


async def test_a_wrong_configuration_pauses_the_stage_and_a_probe_ends_the_pause(pool: Pool) -> None:
    lab = Lab.of(pool, pause=0.001)
    lab.script.failures = [Misconfigured(FailureCode.STORE_DENIED, "s3:GetObject denied on bucket/users/…")]
    first, second = a_run(), a_run()
    await lab.receive(an_event(PhotosValidated, **first))
    await lab.turn()
    assert (await lab.service.readiness()).paused == "store_denied: s3:GetObject denied on bucket/users/…"
    await lab.receive(an_event(PhotosValidated, **second))
    await lab.time_passes()
    while lab.service.pause.active:
        await lab.turn()
    await lab.settle()
    assert [kind for kind in await lab.kinds() if kind != "RunStalled"] == ["DatasetSealed", "DatasetSealed"]
    assert await lab.count("attempts > 0 or dead_at is not null") == 0


async def test_control_lanes_go_on_while_the_stage_is_paused(pool: Pool) -> None:
    lab = Lab.of(pool, pause=3600)
    run = a_run()
    lab.script.outcomes = [[Later(Nudge(user_id=run["user_id"]), timedelta(0), control=True)]]
    await lab.receive(an_event(PhotoJudged, **run))
    await lab.service.worker.step()
    lab.script.failures = [Misconfigured(FailureCode.STORE_DENIED, "…")]
    await lab.receive(an_event(PhotosValidated, **a_run()))
    await lab.service.worker.step()
    await lab.time_passes()
    await lab.settle()
    assert [type(one) for one in lab.script.seen] == [PhotoJudged, Nudge]
    assert await lab.count(f"lane like '%{CONTROL}' and done_at is not null") == 1


async def test_a_newer_version_waits_for_the_deploy(lab: Lab) -> None:
    newer = resigned(record(an_event(PhotosValidated, **a_run())), ce_type=b"lifemask.photos.validated.v2")
    await lab.service.intake.store([newer])
    for _ in range(30):
        await lab.turn()
        await lab.time_passes()
    assert await lab.count("done_at is null and dead_at is null and attempts = 0") == 1
    assert await lab.pool.fetchval("select taken_at is not null from baton")


@pytest.mark.parametrize("what", ["user", "run"])
async def test_a_body_that_names_another_user_or_run_is_a_dead_letter(lab: Lab, what: str) -> None:
    mine, other = a_run(), a_run()
    one = record(an_event(PhotoJudged, **{**mine, f"{what}_id": other[f"{what}_id"]}))
    named = resigned(one, key=mine["user_id"].encode(), ce_subject=mine["run_id"].encode())
    await lab.service.intake.store([named])
    await lab.settle()
    assert lab.script.seen == []
    assert await lab.count("dead_at is not null") == 1


async def test_reminders_keep_their_order_beside_live_traffic(lab: Lab) -> None:
    run = a_run()
    later = [Later(Nudge(user_id=run["user_id"], note=str(at)), timedelta(seconds=at)) for at in range(1, 4)]
    lab.script.outcomes = [later]
    await lab.receive(an_event(PhotoJudged, **run))
    await lab.settle()
    assert await lab.count("true") == 1  # waiting blocks no lane
    await lab.receive(an_event(PhotoJudged, **run))
    await lab.settle()
    await lab.pool.execute("update reminder set due_at = now() - (interval '1 minute' - (due_at - now()))")
    await lab.settle()
    assert [one.note for one in lab.script.seen if isinstance(one, Nudge)] == ["1", "2", "3"]


async def test_rows_are_kept_in_the_finishing_transaction_of_their_user(lab: Lab) -> None:
    run = a_run()
    lab.script.outcomes = [[Keep(Note(run["user_id"], "mine")), an_event(DatasetSealed, **run)]]
    await lab.receive(an_event(PhotosValidated, **run))
    await lab.settle()
    async with lab.service.bus.rows.reading(run["user_id"]) as connection:
        assert await connection.fetchval("select text from note") == "mine"
    async with lab.service.bus.rows.reading(a_run()["user_id"]) as connection:
        assert await connection.fetch("select * from note") == []
    assert await lab.pool.fetch("select * from note") == []


async def test_a_row_of_another_user_is_refused_and_nothing_of_the_message_is_stored(lab: Lab) -> None:
    run, other = a_run(), a_run()
    lab.script.outcomes = [[Keep(Note(other["user_id"], "theirs")), an_event(DatasetSealed, **run)]]
    await lab.receive(an_event(PhotosValidated, **run))
    await lab.turn()
    assert await lab.kinds() == []
    assert await lab.count("attempts = 1") == 1


async def test_a_replay_may_mint_a_new_fact_and_a_redelivery_may_not(lab: Lab) -> None:
    run = a_run()
    judged = an_event(PhotoJudged, **run)
    lab.script.outcomes = [[judged], [judged], [judged]]
    await lab.receive(judged)
    await lab.settle()
    reopen = "update inbox set done_at = null, replays = replays + $1"
    for replays in (0, 1):
        await lab.pool.execute(reopen, replays)
        await lab.pool.execute("update lane set todo = 1, ready_at = now()")
        await lab.settle()
    assert await lab.kinds() == ["PhotoJudged", "PhotoJudged"]
