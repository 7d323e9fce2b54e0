"""The baton: one terminal fact whatever state a run's message is in when it is cancelled or its deadline comes."""

import asyncio

import pytest
from tests.bus.lab import Lab, Note, Nudge, Script, record, resigned

from lifemask.bus.outcomes import Keep, Misconfigured, Retryable, Unprocessable
from lifemask.bus.rows import Pool
from lifemask.contracts import (
    DatasetSealed,
    FailureCode,
    PhotosValidated,
    RunCanceled,
    RunFailed,
    RunStalled,
)
from lifemask.testkit.events import a_run, an_event

STATES = ("waiting", "working", "backing off", "paused", "dead-lettered")


async def bring_to(state: str, lab: Lab, run: dict[str, str]) -> asyncio.Task[int] | None:
    """Brings the run's message into `state`; returns the worker that is at work on it, if any."""
    if state == "backing off":
        lab.script.failures = [Retryable(FailureCode.STORE_UNAVAILABLE)]
    if state == "paused":
        lab.script.failures = [Misconfigured(FailureCode.STORE_DENIED, "s3:GetObject denied")]
    if state == "dead-lettered":
        lab.script.failures = [Unprocessable(FailureCode.MESSAGE_UNREADABLE)]
    if state == "working":
        lab.script.gate = asyncio.Event()
    await lab.receive(an_event(PhotosValidated, **run))
    if state == "waiting":
        return None
    task = asyncio.create_task(lab.turn())
    if state == "working":
        await lab.script.entered.wait()
        return task
    await task
    return None


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("why", ["cancel", "deadline"])
async def test_a_run_ends_once_wherever_its_message_is(pool: Pool, state: str, why: str) -> None:
    lab, run = Lab.of(pool, pause=0.001), a_run()
    working = await bring_to(state, lab, run)
    await (lab.cancel(run) if why == "cancel" else lab.deadline_comes())
    await lab.end_due()
    if working is not None and lab.script.gate is not None:
        lab.script.gate.set()
        await working
    for _ in range(3):
        await lab.time_passes()
        await lab.settle()
        await lab.end_due()
    facts = await lab.facts()
    kinds = [type(fact) for fact in facts]
    expected = RunCanceled if why == "cancel" else RunFailed
    assert kinds == ([RunStalled, expected] if state in {"dead-lettered", "paused"} else [expected])
    assert facts[-1].model_dump()["stage"] == "package"
    assert [one.note for one in lab.script.seen if isinstance(one, Nudge)] == ["after the end"]


async def test_a_cancel_that_comes_before_the_run_waits_for_it(lab: Lab) -> None:
    run = a_run()
    await lab.cancel(run)
    await lab.end_due()
    assert await lab.kinds() == []
    await lab.receive(an_event(PhotosValidated, **run))
    await lab.end_due()
    await lab.settle()
    assert await lab.kinds() == ["RunCanceled"]


async def test_a_cancel_between_handler_and_finish_drops_what_the_handler_says(lab: Lab) -> None:
    run = a_run()
    working = await bring_to("working", lab, run)
    assert working is not None
    assert lab.script.gate is not None
    await lab.cancel(run)
    lab.script.outcomes = [[Keep(Note(run["user_id"], "money")), an_event(DatasetSealed, **run)]]
    lab.script.gate.set()
    await working
    assert await lab.kinds() == []
    await lab.end_due()
    assert await lab.kinds() == ["RunCanceled"]
    async with lab.service.bus.rows.reading(run["user_id"]) as connection:
        texts = [row["text"] for row in await connection.fetch("select text from note")]
    assert texts == ["money", "ended"]  # money outlives the baton


async def test_a_cancel_after_the_run_went_on_is_no_concern_of_ours(lab: Lab) -> None:
    run = a_run()
    await lab.receive(an_event(PhotosValidated, **run))
    await lab.settle()
    await lab.cancel(run)
    await lab.end_due()
    assert await lab.kinds() == ["DatasetSealed"]


async def test_an_old_message_read_again_starts_nothing(lab: Lab) -> None:
    event = an_event(PhotosValidated, **a_run())
    await lab.receive(event, name="one")
    await lab.settle()
    await lab.pool.execute("delete from inbox")
    await lab.receive(event, name="one")
    await lab.settle()
    await lab.deadline_comes()
    await lab.end_due()
    assert await lab.kinds() == ["DatasetSealed"]


async def test_a_second_message_that_brings_the_run_again_starts_nothing(lab: Lab) -> None:
    run = a_run()
    await lab.receive(an_event(PhotosValidated, **run), an_event(PhotosValidated, **run))
    await lab.settle()
    assert await lab.kinds() == ["DatasetSealed"]


async def test_two_workers_that_both_finish_pass_the_baton_once(pool: Pool) -> None:
    frozen, other = Lab.of(pool, Script(gate=asyncio.Event())), Lab.of(pool)
    run = a_run()
    await frozen.receive(an_event(PhotosValidated, **run))
    task = asyncio.create_task(frozen.turn())
    await frozen.script.entered.wait()
    await frozen.cancel(run)
    await other.end_due()
    assert frozen.script.gate is not None
    frozen.script.gate.set()
    await task
    assert await other.kinds() == ["RunCanceled"]
    assert await other.count("done_at is null") == 1 - 1


async def test_the_stage_of_the_end_and_its_time_are_the_databases(lab: Lab) -> None:
    await lab.receive(an_event(PhotosValidated, **a_run()))
    row = await lab.pool.fetchrow("select deadline_at - taken_at as life, brought_by from baton")
    assert row is not None
    assert row["life"].total_seconds() == 3600
    assert row["brought_by"] == await lab.pool.fetchval("select msg_id from inbox")


async def test_a_run_named_only_in_the_body_is_brought_as_well(lab: Lab) -> None:
    await lab.service.intake.store([resigned(record(an_event(PhotosValidated, **a_run())), ce_subject=b"nonsense")])
    await lab.settle()
    assert await lab.kinds() == ["DatasetSealed"]
