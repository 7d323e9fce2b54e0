"""Acts from outside: `Bus.commit` stores all of an act or nothing, and speaks for a run only while it is here."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from tests.bus.lab import ROUTES, Lab, Note, Nudge

from lifemask.bus.outcomes import Keep, Later, Outcome
from lifemask.bus.service import Bus
from lifemask.contracts import PhotoJudged, RunAccepted, RunCanceled, RunEvent, Stage
from lifemask.testkit.events import a_run, an_event


@pytest.fixture
def bus(lab: Lab) -> Bus:
    return lab.service.bus


async def begin(bus: Bus, run: dict[str, str]) -> None:
    assert await bus.commit(run["user_id"], [], cause="begin", run_id=run["run_id"], takes=True)


async def act(bus: Bus, run: dict[str, str], kind: type[RunEvent], *, cause: str = "act") -> bool:
    outcomes: list[Outcome] = [Keep(Note(run["user_id"], cause)), an_event(kind, **run)]
    return await bus.commit(run["user_id"], outcomes, cause=cause, run_id=run["run_id"])


async def notes(bus: Bus, run: dict[str, str]) -> list[str]:
    async with bus.rows.reading(run["user_id"]) as connection:
        return [row["text"] for row in await connection.fetch("select text from note")]


async def test_the_same_act_twice_says_it_once(lab: Lab, bus: Bus) -> None:
    run = a_run()
    assert await act(bus, run, PhotoJudged)
    assert await act(bus, run, PhotoJudged)
    assert await act(bus, run, PhotoJudged, cause="another")
    assert await lab.kinds() == ["PhotoJudged", "PhotoJudged"]


async def test_a_run_that_is_not_here_refuses_the_whole_act(lab: Lab, bus: Bus) -> None:
    run = a_run()
    later = Later(Nudge(user_id=run["user_id"]), timedelta(0))
    accepted = an_event(RunAccepted, **run)
    outcomes: list[Outcome] = [Keep(Note(run["user_id"], "no")), later, an_event(PhotoJudged, **run), accepted]
    assert not await bus.commit(run["user_id"], outcomes, cause="act", run_id=run["run_id"])
    assert await lab.kinds() == []
    assert await notes(bus, run) == []
    assert await lab.pool.fetchval("select count(*) from reminder") == 0
    assert await lab.pool.fetchval("select count(*) from baton") == 0


async def test_a_draft_is_taken_once_and_passed_once(lab: Lab, bus: Bus) -> None:
    run = a_run()
    await begin(bus, run)
    await begin(bus, run)
    assert await act(bus, run, RunAccepted)
    assert not await act(bus, run, RunAccepted)
    await begin(bus, run)  # an old act again takes nothing back
    assert not await act(bus, run, RunCanceled, cause="cancel")
    assert await lab.kinds() == ["RunAccepted"]
    assert await lab.pool.fetchval("select deadline_at from baton") is None


async def test_a_cancelled_draft_leaves_what_its_end_asks_for(lab: Lab, bus: Bus) -> None:
    run = a_run()
    await begin(bus, run)
    assert await act(bus, run, RunCanceled, cause="cancel")
    assert not await act(bus, run, RunAccepted)
    assert await lab.kinds() == ["RunCanceled"]
    assert await notes(bus, run) == ["cancel", "ended"]
    await lab.settle()
    assert [one.note for one in lab.script.seen if isinstance(one, Nudge)] == ["after the end"]


async def test_of_submit_and_cancel_at_once_exactly_one_wins(lab: Lab, bus: Bus) -> None:
    for number in range(25):
        run = a_run()
        await begin(bus, run)
        won = await asyncio.gather(
            act(bus, run, RunAccepted, cause=f"submit {number}"),
            act(bus, run, RunCanceled, cause=f"cancel {number}"),
            act(bus, run, RunAccepted, cause=f"submit again {number}"),
        )
        assert sum(won) == 1
        assert len(await lab.kinds()) == number + 1


async def test_nobody_speaks_about_another_user_or_run(lab: Lab, bus: Bus) -> None:
    run, other = a_run(), a_run()
    await begin(bus, run)
    await begin(bus, other)
    with pytest.raises(ValueError, match="another user"):
        await bus.commit(run["user_id"], [an_event(PhotoJudged, **other)], cause="act")
    strange = an_event(RunAccepted, user_id=run["user_id"], run_id=other["run_id"])
    with pytest.raises(ValueError, match="another run"):
        await bus.commit(run["user_id"], [strange], cause="act", run_id=run["run_id"])
    assert await lab.kinds() == []


async def test_a_transaction_inside_another_is_refused_at_once(lab: Lab, bus: Bus) -> None:
    run = a_run()
    with pytest.raises(RuntimeError, match="two connections"):
        async with bus.rows.reading(run["user_id"]):
            await act(bus, run, PhotoJudged)
    assert await lab.kinds() == []


async def test_what_is_read_together_is_of_one_moment(bus: Bus) -> None:
    run = a_run()
    assert await act(bus, run, PhotoJudged)
    meanwhile = asyncio.Event()

    async def another() -> None:
        await meanwhile.wait()
        assert await act(bus, run, PhotoJudged, cause="meanwhile")

    acting = asyncio.create_task(another())
    async with bus.rows.reading(run["user_id"]) as connection:
        before = await connection.fetch("select text from note")
        meanwhile.set()
        await acting
        assert await connection.fetch("select text from note") == before
    assert await notes(bus, run) == ["act", "meanwhile"]


async def test_nothing_is_written_where_rows_are_read(bus: Bus) -> None:
    run = a_run()
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with bus.rows.reading(run["user_id"]) as connection:
            await connection.execute("delete from note")


def test_a_handler_without_its_port_is_found_before_the_first_message(lab: Lab) -> None:
    with pytest.raises(TypeError, match="seal needs what serve\\(\\) was not given: script"):
        Bus("packager", Stage.PACKAGE, lab.service.bus.settings, lab.pool).serve(ROUTES)
