"""`dead-letters` on a real PostgreSQL, with the service that carries out the orders beside it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.bus.lab import NOTES, Lab, record
from tests.bus.running import as_owner
from tests.cli.conftest import Call
from tests.conftest import Migrated

from lifemask.bus.migrate import migrate
from lifemask.bus.outcomes import Unprocessable
from lifemask.bus.rows import Pool
from lifemask.contracts import FailureCode, PhotosValidated
from lifemask.testkit.events import a_run, an_event


@pytest.fixture
async def lab(migrated: Migrated, postgres: str, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """One service of a whole installation."""
    pool: Pool = await migrated("packager", NOTES)
    dsn = as_owner(postgres, f"postgresql:///{await pool.fetchval('select current_database()')}")
    await migrate(dsn)
    monkeypatch.setenv("LIFEMASK_POSTGRES", dsn)
    return Lab.of(pool)


@asynccontextmanager
async def obeying(lab: Lab) -> AsyncIterator[None]:
    task = asyncio.create_task(lab.service.orders.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def called(lifemask: Call, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    return await asyncio.to_thread(lifemask, "dead-letters", *arguments)


async def dies(lab: Lab) -> tuple[dict[str, str], bytes | None]:
    run = a_run()
    sent = record(an_event(PhotosValidated, **run))
    lab.script.failures = [Unprocessable(FailureCode.MESSAGE_UNREADABLE, "why")]
    await lab.service.intake.store([sent])
    await lab.settle()
    return run, sent.value


async def test_letters_are_listed_and_shown_whole(lab: Lab, lifemask: Call) -> None:
    assert await called(lifemask, "list") == (0, [])
    run, value = await dies(lab)
    code, (letter,) = await called(lifemask, "list")
    assert (code, letter["run"], letter["run_state"], letter["service"]) == (0, run["run_id"], "brought", "packager")
    assert (await called(lifemask, "list", "--service", "trainer"))[1] == []
    code, (whole,) = await called(lifemask, "show", letter["id"])
    assert (code, base64.b64decode(whole["value"])) == (0, value)
    assert {"ce_id", "ce_signature"} <= {name for name, _ in whole["headers"]}
    assert [(error["code"], error["detail"]) for error in whole["errors"]] == [("message_unreadable", "why")]


async def test_nothing_is_done_without_yes(lab: Lab, lifemask: Call) -> None:
    await dies(lab)
    async with obeying(lab):
        for act in ("replay", "discard"):
            code, (fact,) = await called(lifemask, act, "--all")
            assert (code, fact["event"], fact["ordered"], fact["refused"]) == (0, act, False, False)
    assert await lab.pool.fetchval("select count(*) from operator_order") == 0
    assert await lab.count("dead_at is not null") == 1


async def test_a_replay_and_a_discard_are_carried_out(lab: Lab, lifemask: Call) -> None:
    first, _ = await dies(lab)
    second, _ = await dies(lab)
    async with obeying(lab):
        code, facts = await called(lifemask, "replay", "--run", first["run_id"], "--all", "--yes")
        assert (code, [fact.get("outcome") for fact in facts]) == (0, [None, "replayed"])
        code, facts = await called(lifemask, "discard", (await called(lifemask, "list"))[1][0]["id"], "--yes")
        assert (code, facts[-1]["outcome"], facts[-1]["run"]) == (0, "run_failed", second["run_id"])
    await lab.settle()
    assert sorted(await lab.kinds()) == ["DatasetSealed", "RunFailed", "RunStalled", "RunStalled"]
    assert await called(lifemask, "list") == (0, [])
    assert (
        await lab.pool.fetchval("select count(*) from operator_order where ordered_by <> '' and done_at <= now()") == 2
    )


async def test_an_order_to_a_service_that_is_down_is_kept(lab: Lab, lifemask: Call) -> None:
    await dies(lab)
    code, facts = await called(lifemask, "replay", "--all", "--yes", "--wait", "0")
    assert (code, facts[-1]["event"]) == (3, "problem")
    code, facts = await called(lifemask, "replay", "--all", "--yes", "--wait", "0")
    assert (code, facts[-1]["event"]) == (3, "problem")
    assert await lab.service.orders.step() == 1
    assert await called(lifemask, "replay", "--all", "--yes") == (0, [])
    await lab.settle()
    assert await lab.kinds() == ["RunStalled", "DatasetSealed"]


async def test_wrong_letters_are_told_plainly(lab: Lab, lifemask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await called(lifemask, "show", "packager/1"))[0] == 1
    for arguments in (["show", "17"], ["replay"], ["discard", "packager/1", "--all"], ["list", "--service", "x"]):
        assert (await called(lifemask, *arguments))[0] == 2
    monkeypatch.setenv("LIFEMASK_POSTGRES", "postgresql://nobody@127.0.0.1:9/none")
    assert (await called(lifemask, "list"))[0] == 3
    monkeypatch.delenv("LIFEMASK_POSTGRES")
    code, facts = await called(lifemask, "list")
    assert (code, "LIFEMASK_POSTGRES" in facts[-1]["next_step"]) == (3, True)
