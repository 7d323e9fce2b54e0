"""A row that somebody wrote or changed in the service's own tables reaches no handler, and is told."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from tests.bus.lab import Lab, Nudge, record
from tests.bus.test_signed import a_lab, again, rotated

from lifemask.bus.ordering import Told, tell
from lifemask.bus.outcomes import Later
from lifemask.bus.rows import Connection, Pool
from lifemask.contracts import FailureCode, PhotoJudged, PhotosValidated, RunFailed, new_id
from lifemask.keys.files import KEYRING
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.keys import make_keys

OTHER = Nudge(user_id="acme.other", note="made up").model_dump_json()


async def told(pool: Pool) -> list[str]:
    return [row["reason"] for row in await pool.fetch("select reason from security order by id")]


async def is_closed(lab: Lab) -> bool:
    return await lab.count("done_at is null") == 0 and await lab.pool.fetchval("select sum(todo) from lane") == 0


async def test_a_message_that_somebody_wrote_into_the_inbox_has_no_effect(lab: Lab) -> None:
    event = an_event(PhotoJudged, **a_run(), photo_id=new_id())
    await lab.pool.execute(
        """insert into inbox (msg_id, lane, user_id, run_id, type, topic, value, headers)
           values ('made up', $1, $1, $2, $3, 'lifemask.photos', $4, '[]')""",
        event.user_id,
        event.run_id,
        event.ce_type,
        event.body(),
    )
    await lab.pool.execute("insert into lane (lane, todo) values ($1, 1)", event.user_id)
    await lab.settle()
    assert lab.script.seen == []
    assert await lab.kinds() == []
    assert await told(lab.pool) == ["stored row: unsigned"]
    assert await is_closed(lab)


@pytest.mark.parametrize(
    "change",
    [
        "value = value || ' '::bytea",
        "user_id = 'acme.other'",
        "type = 'lifemask.photos.validated.v1'",
        "msg_id = 'another'",
        "headers = '[1]'",
        "topic = 'reminder'",
    ],
)
async def test_a_message_that_somebody_changed_has_no_effect_and_the_next_one_has(lab: Lab, change: str) -> None:
    run = a_run()
    first, second = (an_event(PhotoJudged, **run, photo_id=new_id()) for _ in range(2))
    await lab.receive(first)
    await lab.pool.execute(f"update inbox set {change}")
    await lab.receive(second)
    await lab.settle()
    assert lab.script.seen == [second]
    assert len(await told(lab.pool)) == 1
    assert await is_closed(lab)


async def test_a_run_that_a_changed_message_brought_ends_as_ours_to_mend(lab: Lab) -> None:
    await lab.receive(an_event(PhotosValidated, **a_run()))
    await lab.pool.execute("update inbox set value = value || ' '::bytea")
    await lab.settle()
    assert not [one for one in lab.script.seen if isinstance(one, PhotosValidated)]
    (failed,) = [fact for fact in await lab.facts() if isinstance(fact, RunFailed)]
    assert failed.failure.code == FailureCode.INTERNAL
    assert await lab.pool.fetchval("select passed_as from baton") == RunFailed.ce_type


async def remind(lab: Lab) -> Nudge:
    run = a_run()
    nudge = Nudge(**run, note="mine")
    lab.script.outcomes = [[Later(nudge, timedelta(hours=1))]]
    await lab.receive(an_event(PhotoJudged, **run, photo_id=new_id()))
    await lab.settle()
    lab.script.seen.clear()
    return nudge


async def test_a_reminder_comes_as_it_was_made(lab: Lab) -> None:
    nudge = await remind(lab)
    await lab.time_passes()
    await lab.settle()
    assert lab.script.seen == [nudge]
    assert await told(lab.pool) == []


@pytest.mark.parametrize(
    "change", ["value = convert_to($1, 'utf8'), user_id = 'acme.other', lane = 'acme.other'", "headers = '[]'"]
)
async def test_a_reminder_that_somebody_changed_has_no_effect(lab: Lab, change: str) -> None:
    await remind(lab)
    await lab.pool.execute(f"update reminder set {change}", *([OTHER] if "$1" in change else []))
    await lab.time_passes()
    await lab.settle()
    assert lab.script.seen == []
    assert len(await told(lab.pool)) == 1


async def test_a_reminder_under_another_id_has_no_effect(lab: Lab) -> None:
    """The same reminder again, as if it had never fallen due."""
    await remind(lab)
    await lab.pool.execute(
        """insert into reminder select 'again', lane, user_id, run_id, type, due_at, value, headers from reminder"""
    )
    await lab.time_passes()
    await lab.settle()
    assert len(lab.script.seen) == 1
    assert await told(lab.pool) == ["stored row: bad signature"]


@pytest.mark.parametrize(("end", "seen"), [("until", 1), ("compromised_at", 0)])
async def test_a_retired_key_proves_a_reminder_and_a_lost_one_does_not(
    pool: Pool, tmp_path: Path, end: str, seen: int
) -> None:
    keys, now = make_keys(), datetime.now(UTC)
    lab, run = a_lab(pool, tmp_path, keys), a_run()
    lab.script.outcomes = [[Later(Nudge(**run), timedelta(hours=1))]]
    await lab.service.intake.store([again(record(an_event(PhotoJudged, **run, photo_id=new_id())), keys)])
    await lab.settle()
    (tmp_path / KEYRING).write_bytes(rotated(keys, "packager", {end: now - timedelta(minutes=1)}).data)
    lab.script.seen.clear()
    await lab.time_passes()
    await lab.settle()
    assert len(lab.script.seen) == seen
    assert await told(pool) == ([] if seen else ["stored row: key compromised"])


async def test_a_stored_message_of_a_key_that_was_lost_before_has_no_effect(pool: Pool, tmp_path: Path) -> None:
    keys, now = make_keys(), datetime.now(UTC)
    lab = a_lab(pool, tmp_path, keys)
    await lab.service.intake.store([again(record(an_event(PhotoJudged, **a_run(), photo_id=new_id())), keys)])
    lost = {"compromised_at": now - timedelta(minutes=1)}
    (tmp_path / KEYRING).write_bytes(rotated(keys, "image-validator", lost).data)
    await lab.settle()
    assert lab.script.seen == []
    assert await told(pool) == ["stored row: key compromised"]


@pytest.fixture
async def operator(pool: Pool, postgres: str) -> AsyncIterator[Connection]:
    """The account that migrates."""
    connection = await asyncpg.connect(postgres, database=await pool.fetchval("select current_database()"))
    yield connection
    await connection.close()


async def test_a_service_can_write_no_order_to_itself(lab: Lab, operator: Connection) -> None:
    run = a_run()
    await tell(operator, Told("packager", Nudge.ce_type, **run, body={"note": "ordered"}), "tell/1", "olga")
    await lab.service.orders.step()
    await lab.settle()
    assert lab.script.seen == [Nudge(**run, note="ordered")]
    for change in ("value = ''", "done_at = null, user_id = 'acme.other'", "act = 'discard'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await lab.pool.execute(f"update operator_order set {change}")
