"""What an operator orders: a dead letter handled again or closed for good, once for each request."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.bus.faults import MortalPool
from tests.bus.lab import Lab, Nudge, record, resigned

from lifemask.bus.letters import Here, Letter, dead_letters, on_discard, on_replay
from lifemask.bus.ordering import Act, Done, Told, is_handled, order, outcomes, tell
from lifemask.bus.orders import Orders
from lifemask.bus.outcomes import Retryable, Unprocessable
from lifemask.bus.rows import Connection, Pool
from lifemask.contracts import FailureCode, PhotoJudged, PhotosValidated, RunFailed, RunStalled
from lifemask.testkit.events import a_run, an_event

PACKAGER = "packager"


@pytest.fixture
async def operator(pool: Pool, postgres: str) -> AsyncIterator[Connection]:
    """The account that migrates."""
    name = await pool.fetchval("select current_database()")
    connection = await asyncpg.connect(postgres, database=name)
    yield connection
    await connection.close()


async def dies(lab: Lab, run: dict[str, str], **changes: object) -> None:
    lab.script.failures = [Unprocessable(FailureCode.MESSAGE_UNREADABLE, "a word that nobody knows")]
    await lab.receive(an_event(PhotosValidated, **run, **changes))
    await lab.settle()


async def the_letter(operator: Connection) -> Letter:
    (letter,) = await dead_letters(operator, PACKAGER)
    return letter


async def carried_out(lab: Lab, operator: Connection, act: Act, letter: Letter) -> Done:
    name = await order(operator, letter, act, "olga")
    await lab.service.orders.step()
    return Done((await outcomes(operator, PACKAGER, [name]))[name])


async def test_a_letter_is_shown_as_it_came_with_the_error_of_each_attempt(pool: Pool, operator: Connection) -> None:
    lab, run = Lab.of(pool, max_attempts=3), a_run()
    sent = record(an_event(PhotosValidated, **run))
    lab.script.failures = [Retryable(FailureCode.HUB_BUSY)] * 3
    await lab.service.intake.store([sent])
    for _ in range(3):
        await lab.settle()
        await lab.time_passes()
    letter = await the_letter(operator)
    assert (letter.value, list(letter.headers)) == (sent.value, list(sent.headers))
    assert [error["code"] for error in letter.errors] == ["hub_busy"] * 3
    assert (letter.here, letter.run_id, letter.attempts, letter.id) == (
        Here.BROUGHT,
        run["run_id"],
        3,
        f"packager/{letter.seq}",
    )
    assert "deadline starts anew" in on_replay(letter).says
    assert "ends as failed" in on_discard(letter).says


async def test_a_replayed_letter_is_handled_and_the_run_goes_on(lab: Lab, operator: Connection) -> None:
    run = a_run()
    await dies(lab, run)
    await lab.pool.execute("update baton set deadline_at = now() + interval '1 second'")
    letter = await the_letter(operator)
    assert await carried_out(lab, operator, Act.REPLAY, letter) is Done.REPLAYED
    assert await lab.pool.fetchval("select deadline_at > now() + interval '50 min' from baton")
    await lab.settle()
    assert await lab.kinds() == ["RunStalled", "DatasetSealed"]
    assert await dead_letters(operator, PACKAGER) == []
    assert await lab.count("attempts = 0 and replays = 1 and done_at is not null") == 1
    assert await lab.pool.fetchval("select todo from lane") == 0


async def test_one_request_replays_once_and_a_letter_that_died_again_may_be_replayed_again(
    lab: Lab, operator: Connection
) -> None:
    await dies(lab, a_run())
    first = await the_letter(operator)
    for _ in range(2):
        await order(operator, first, Act.REPLAY, "olga")
    lab.script.failures = [Unprocessable(FailureCode.MESSAGE_UNREADABLE)]
    await lab.service.orders.step()
    await lab.settle()
    await order(operator, first, Act.REPLAY, "olga")  # the request of before
    assert await lab.service.orders.step() == 0
    again = await the_letter(operator)
    assert (again.replays, len(again.errors)) == (1, 2)
    assert await carried_out(lab, operator, Act.REPLAY, again) is Done.REPLAYED
    await lab.settle()
    kinds = await lab.kinds()
    assert kinds == ["RunStalled", "RunStalled", "DatasetSealed"]
    assert await lab.pool.fetchval("select count(*) from outbox where topic = 'lifemask.dead-letters'") == 2


async def test_a_replay_comes_before_what_waits_in_its_lane(lab: Lab, operator: Connection) -> None:
    run = a_run()
    await dies(lab, run)
    await lab.receive(an_event(PhotoJudged, **run))
    await carried_out(lab, operator, Act.REPLAY, await the_letter(operator))
    await lab.settle()
    assert [type(event).__name__ for event in lab.script.seen] == ["PhotosValidated", "PhotoJudged"]


async def test_a_discarded_letter_ends_the_run_it_brought(lab: Lab, operator: Connection) -> None:
    run = a_run()
    await dies(lab, run)
    letter = await the_letter(operator)
    assert await carried_out(lab, operator, Act.DISCARD, letter) is Done.RUN_FAILED
    await lab.end_due()
    facts = await lab.facts()
    assert [type(fact) for fact in facts] == [RunStalled, RunFailed]
    assert isinstance(facts[1], RunFailed)
    assert (facts[1].failure.code, facts[1].stage) == ("discarded", "package")
    await lab.settle()
    assert [one.note for one in lab.script.seen if isinstance(one, Nudge)] == ["after the end"]
    assert await dead_letters(operator, PACKAGER) == []
    assert await carried_out(lab, operator, Act.REPLAY, letter) is Done.TOO_LATE
    assert (await lab.service.readiness()).dead == 0


async def test_a_discarded_letter_that_brought_no_run_ends_none(lab: Lab, operator: Connection) -> None:
    run = a_run()
    lab.script.failures = [Unprocessable(FailureCode.MESSAGE_UNREADABLE), Retryable(FailureCode.STORE_UNAVAILABLE)]
    await lab.receive(an_event(PhotoJudged, **run))
    await lab.receive(an_event(PhotosValidated, **run))
    await lab.settle()
    letter = await the_letter(operator)
    assert (letter.type, letter.here) == (PhotoJudged.ce_type, Here.HELD)
    assert await carried_out(lab, operator, Act.DISCARD, letter) is Done.DISCARDED
    await lab.time_passes()
    await lab.settle()
    assert await lab.kinds() == ["DatasetSealed"]


@pytest.mark.parametrize("act", [Act.REPLAY, Act.DISCARD])
async def test_a_run_that_was_asked_to_end_is_the_enders(lab: Lab, operator: Connection, act: Act) -> None:
    run = a_run()
    await dies(lab, run)
    letter = await the_letter(operator)
    await lab.cancel(run)
    assert on_replay(await the_letter(operator)).refused
    assert await carried_out(lab, operator, act, letter) is (Done.TOO_LATE if act is Act.REPLAY else Done.DISCARDED)
    await lab.end_due()
    assert await carried_out(lab, operator, Act.REPLAY, letter) is Done.TOO_LATE
    await lab.settle()
    assert await lab.kinds() == ["RunStalled", "RunCanceled"]


async def test_what_nobody_can_read_can_only_be_discarded(lab: Lab, operator: Connection) -> None:
    await lab.service.intake.store([resigned(record(an_event(PhotoJudged, **a_run())), key=b"nobody", value=b"\xff{")])
    letter = await the_letter(operator)
    assert (letter.value, letter.here, on_replay(letter).refused) == (b"\xff{", Here.NONE, True)
    assert await carried_out(lab, operator, Act.REPLAY, letter) is Done.TOO_LATE
    assert await carried_out(lab, operator, Act.DISCARD, letter) is Done.DISCARDED


async def test_a_told_message_is_handled_in_its_users_lane(lab: Lab, operator: Connection) -> None:
    run = a_run()
    told = Told(PACKAGER, Nudge.ce_type, run["user_id"], run["run_id"], {"note": "from the operator"})
    for _ in range(2):
        await tell(operator, told, "tell/1", "olga")
    assert await is_handled(operator, PACKAGER, "tell/1") is False
    await lab.service.orders.step()
    await lab.settle()
    assert [one.note for one in lab.script.seen if isinstance(one, Nudge)] == ["from the operator"]
    assert await is_handled(operator, PACKAGER, "tell/1") is True
    assert await lab.pool.fetchval("select lane from inbox") == run["user_id"]


async def test_no_service_gives_itself_orders(lab: Lab) -> None:
    for statement in (
        "insert into operator_order (id, act, msg_id, ordered_by) values ('x', 'replay', 'x', 'me')",
        "delete from operator_order",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await lab.pool.execute(statement)


@pytest.mark.parametrize("act", [Act.REPLAY, Act.DISCARD])
@pytest.mark.parametrize("reply_lost", [False, True])
async def test_a_process_may_die_at_any_statement_of_an_order(
    pool: Pool, operator: Connection, act: Act, *, reply_lost: bool
) -> None:
    expected = ["RunStalled", "DatasetSealed" if act is Act.REPLAY else "RunFailed"]
    for at in range(1, 20):
        lab, run = Lab.of(pool), a_run()
        await dies(lab, run)
        await order(operator, await the_letter(operator), act, "olga")
        mortal = MortalPool(pool, at, reply_lost=reply_lost)
        orders = lab.service.orders
        dying = Orders(mortal, orders.outbound, orders.stage, orders.signals, orders.deadline)  # type: ignore[arg-type]  # a pool that dies
        try:
            await dying.step()
        except asyncpg.PostgresConnectionError:
            pass
        else:
            assert at > 5
            return
        await lab.service.orders.step()
        await lab.settle()
        said = [type(fact).__name__ for fact in await lab.facts() if fact.user_id == run["user_id"]]
        assert said == expected
        assert await pool.fetchval("select count(*) from lane where todo <> 0") == 0
    raise AssertionError("an order takes fewer statements than that")
