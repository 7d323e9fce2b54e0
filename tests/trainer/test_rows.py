"""One suite for the rows in memory and in PostgreSQL: what a change may do, and that money is booked once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

import asyncpg
import pytest
from tests.trainer.fakes import DIGEST, START, TRAINER, ClaimLost, InMemoryAttempts

from lifemask.bus.outcomes import Retryable
from lifemask.bus.rows import Pool, Rows, act_for
from lifemask.contracts import new_id
from lifemask.trainer.adapters.postgres import PostgresAttempts, write_row
from lifemask.trainer.domain.attempt import (
    MOVES,
    Abandon,
    Adopt,
    Advance,
    Ask,
    Attempt,
    AttemptId,
    Bill,
    Book,
    Change,
    Claim,
    CloseCount,
    CopyFailed,
    Doubt,
    End,
    Fetched,
    Intend,
    ListedClean,
    Plan,
    Spot,
    State,
    StopRun,
    Withdraw,
)

USER, RUN = "acme.anna", new_id()
ONE = AttemptId(USER, RUN, 1)
PLAN = Plan(
    trainer=TRAINER,
    dataset=DIGEST,
    archive_key="users/x/archive/1.zip",
    archive_url="https://lifemask.test/v1/objects/abc",
    url_expires_at=datetime(2026, 1, 3, tzinfo=UTC),
    gateway=True,
    steps=1000,
    rank=16,
    learning_rate="0.0001",
    estimated_cost=Decimal("1.0401"),
    photos=12,
    archive_bytes=61_000_000,
    seen_at=START,
)
BILL = Bill("t0", "succeeded", Decimal("682.5"), Decimal("1.0408"))


class Table(Protocol):
    async def write(self, *changes: Change) -> None: ...

    async def attempt(self, number: int = 1) -> Attempt: ...

    async def cost(self, training: str) -> Decimal | None: ...


@dataclass
class MemoryTable:
    attempts: InMemoryAttempts

    async def write(self, *changes: Change) -> None:
        for change in changes:
            self.attempts.write(change)

    async def attempt(self, number: int = 1) -> Attempt:
        return (await self.attempts.of_run(USER, RUN))[number - 1]

    async def cost(self, training: str) -> Decimal | None:
        bill = self.attempts.bills.get(training)
        return bill.cost if bill else None


@dataclass
class PostgresTable:
    pool: Pool

    async def write(self, *changes: Change) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await act_for(connection, USER)
            for change in changes:
                await write_row(connection, change)

    async def attempt(self, number: int = 1) -> Attempt:
        return (await PostgresAttempts(Rows(self.pool)).of_run(USER, RUN))[number - 1]

    async def cost(self, training: str) -> Decimal | None:
        async with Rows(self.pool).reading(USER) as connection:
            found: Decimal | None = await connection.fetchval(
                "select cost_usd from provider_training where training = $1", training
            )
        return found


@pytest.fixture(params=["memory", "postgres"])
async def table(request: pytest.FixtureRequest, migrated: Callable[[str], Awaitable[Pool]]) -> Table:
    if request.param == "memory":
        return MemoryTable(InMemoryAttempts())
    return PostgresTable(await migrated("trainer"))


async def in_state(table: Table, state: State) -> None:
    ways: dict[State, list[Change]] = {
        State.INTENDED: [],
        State.CREATING: [Claim(ONE, DIGEST)],
        State.UNKNOWN: [Claim(ONE, DIGEST), Doubt(ONE)],
        State.RUNNING: [Claim(ONE, DIGEST), Adopt(ONE, "t0")],
        State.SUCCEEDED: [Claim(ONE, DIGEST), Adopt(ONE, "t0"), End(ONE, State.SUCCEEDED, BILL, "v")],
        State.FAILED: [Claim(ONE, DIGEST), End(ONE, State.FAILED)],
        State.CANCELED: [End(ONE, State.CANCELED)],
        State.ABANDONED: [Claim(ONE, DIGEST), Doubt(ONE), End(ONE, State.ABANDONED)],
    }
    await table.write(Intend(ONE, PLAN), *ways[state])
    assert (await table.attempt()).state is state


def change_to(state: State) -> Change:
    if state is State.RUNNING:
        return Adopt(ONE, "t0")
    if state is State.UNKNOWN:
        return Doubt(ONE)
    return Withdraw(ONE) if state is State.INTENDED else End(ONE, state)


async def test_an_attempt_is_read_as_it_was_intended(table: Table) -> None:
    await table.write(Intend(ONE, PLAN))
    attempt = await table.attempt()
    assert (attempt.id, attempt.plan, attempt.state, attempt.stop) == (ONE, PLAN, State.INTENDED, False)
    assert attempt.archive_path == "/v1/objects/abc"


@pytest.mark.parametrize("before", list(State))
async def test_moves_follow_the_table(table: Table, before: State) -> None:
    await in_state(table, before)
    for after in set(State) - {State.CREATING, before} - MOVES[before]:
        await table.write(change_to(after))
        assert (await table.attempt()).state is before


@pytest.mark.parametrize("before", [state for state in State if state is not State.INTENDED])
async def test_only_one_claim_gets_through(table: Table, before: State) -> None:
    await in_state(table, before)
    with pytest.raises((ClaimLost, Retryable)):
        await table.write(Claim(ONE, DIGEST))
    assert (await table.attempt()).state is before


async def test_a_withdrawn_claim_can_be_taken_again(table: Table) -> None:
    await table.write(Intend(ONE, PLAN), Claim(ONE, DIGEST), Withdraw(ONE), Claim(ONE, "b" * 64))
    attempt = await table.attempt()
    assert (attempt.state, attempt.statement) == (State.CREATING, "b" * 64)


async def test_intending_twice_changes_nothing(table: Table) -> None:
    await table.write(Intend(ONE, PLAN), Claim(ONE, DIGEST), Intend(ONE, PLAN))
    assert (await table.attempt()).state is State.CREATING


async def test_a_late_reply_is_adopted_from_unknown_and_known_in_any_state(table: Table) -> None:
    await in_state(table, State.ABANDONED)
    await table.write(Adopt(ONE, "t9"))
    attempt = await table.attempt()
    assert (attempt.state, attempt.training, attempt.unbooked) == (State.ABANDONED, None, ("t9",))


async def test_a_bill_is_booked_once(table: Table) -> None:
    await in_state(table, State.SUCCEEDED)
    dearer = Bill("t0", "succeeded", Decimal(9), Decimal(9))
    await table.write(Book(ONE, dearer), End(ONE, State.FAILED, dearer))
    assert await table.cost("t0") == Decimal("1.0408")
    assert (await table.attempt()).unbooked == ()


async def test_further_trainings_are_kept_apart(table: Table) -> None:
    await in_state(table, State.RUNNING)
    await table.write(
        Spot(ONE, "t1"), Spot(ONE, "t1"), Book(ONE, Bill("t1", "canceled", Decimal(1), Decimal("0.0015")))
    )
    attempt = await table.attempt()
    assert (attempt.training, attempt.unbooked, attempt.state) == ("t0", ("t0",), State.RUNNING)
    assert await table.cost("t1") == Decimal("0.0015")


async def test_counts_and_progress_grow(table: Table) -> None:
    await in_state(table, State.RUNNING)
    await table.write(Advance(ONE, 40), Advance(ONE, 20), ListedClean(ONE), CopyFailed(ONE), CopyFailed(ONE))
    attempt = await table.attempt()
    assert (attempt.percent, attempt.clean_listings, attempt.copy_failures) == (40, 1, 2)


async def test_a_doubt_and_the_first_clean_listing_keep_their_times(table: Table) -> None:
    await in_state(table, State.UNKNOWN)
    await table.write(ListedClean(ONE))
    first = await table.attempt()
    await table.write(ListedClean(ONE), Ask(ONE, "why"))
    attempt = await table.attempt()
    assert attempt.clean_since == first.clean_since is not None
    assert (attempt.clean_listings, attempt.asked, first.asked) == (2, True, False)
    assert attempt.doubted_at is not None


@pytest.mark.parametrize("before", list(State))
async def test_only_an_unknown_attempt_is_abandoned_for_another(table: Table, before: State) -> None:
    await in_state(table, before)
    if before is State.UNKNOWN:
        await table.write(Abandon(ONE))
        assert (await table.attempt()).is_watched
        return
    with pytest.raises(Retryable):
        await table.write(Abandon(ONE))
    assert (await table.attempt()).state is before


async def test_fetches_are_counted_until_the_count_is_closed(table: Table) -> None:
    await in_state(table, State.RUNNING)
    await table.write(Fetched(ONE), Fetched(ONE), CloseCount(ONE), Fetched(ONE), CloseCount(ONE))
    assert (await table.attempt()).fetches == 2


async def test_stopping_a_run_stops_all_its_attempts(table: Table) -> None:
    two = AttemptId(USER, RUN, 2)
    other = Plan(**{**{name: getattr(PLAN, name) for name in Plan.__slots__}, "archive_url": "https://x.test/2"})
    await table.write(Intend(ONE, PLAN), Intend(two, other), StopRun(USER, RUN), StopRun(USER, new_id()))
    assert [(await table.attempt(number)).stop for number in (1, 2)] == [True, True]


async def test_the_database_keeps_users_apart(migrated: Callable[[str], Awaitable[Pool]]) -> None:
    pool = await migrated("trainer")
    await PostgresTable(pool).write(Intend(ONE, PLAN), Claim(ONE, DIGEST), Adopt(ONE, "t0"))
    assert await PostgresAttempts(Rows(pool)).of_run("acme.bob", RUN) == []
    async with pool.acquire() as connection, connection.transaction():
        await act_for(connection, "acme.bob")
        await write_row(connection, StopRun(USER, RUN))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await write_row(connection, Spot(ONE, "t1"))
    assert not (await PostgresTable(pool).attempt()).stop


async def test_intent_is_timed_by_the_database(migrated: Callable[[str], Awaitable[Pool]]) -> None:
    table = PostgresTable(await migrated("trainer"))
    await table.write(Intend(ONE, PLAN))
    assert abs((await table.attempt()).intended_at - datetime.now(UTC)) < timedelta(minutes=1)
