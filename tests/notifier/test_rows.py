"""The notifications' rows on PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.conftest import Migrated
from tests.notifier.world import READY, REJECTED, RUN, STALLED, USER

from lifemask.bus.rows import Pool, Rows, act_for
from lifemask.notifier.adapters.postgres import PostgresNotifications, write_row
from lifemask.notifier.domain import Channel, Pending, Settled, State, Tried, of

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
NOTE = of(REJECTED, Channel.EMAIL, NOON)


@pytest.fixture
async def pool(migrated: Migrated) -> Pool:
    return await migrated("notifier")


async def store(pool: Pool, *rows: object) -> None:
    for row in rows:
        async with pool.acquire() as connection, connection.transaction():
            await act_for(connection, USER)
            await write_row(connection, row)


async def test_a_notification_comes_back_as_it_was_stored(pool: Pool) -> None:
    await store(pool, Pending(NOTE))
    rows = PostgresNotifications(Rows(pool))
    assert await rows.find(USER, NOTE.id) == NOTE
    assert await rows.find(USER, "0" * 64) is None


async def test_storing_it_again_changes_nothing(pool: Pool) -> None:
    await store(pool, Pending(NOTE), Tried(USER, NOTE.id, 1), Pending(replace(NOTE, since=datetime.now(UTC))))
    assert await PostgresNotifications(Rows(pool)).find(USER, NOTE.id) == replace(NOTE, tries=1)


async def test_tries_count_one_by_one(pool: Pool) -> None:
    await store(pool, Pending(NOTE), Tried(USER, NOTE.id, 1), Tried(USER, NOTE.id, 1), Tried(USER, NOTE.id, 3))
    assert await PostgresNotifications(Rows(pool)).find(USER, NOTE.id) == replace(NOTE, tries=1)


async def test_what_is_settled_stays_settled(pool: Pool) -> None:
    await store(
        pool,
        Pending(NOTE),
        Settled(USER, NOTE.id, 1, State.DELIVERED),
        Settled(USER, NOTE.id, 2, State.GAVE_UP),
        Tried(USER, NOTE.id, 2),
        Pending(NOTE),
    )
    found = await PostgresNotifications(Rows(pool)).find(USER, NOTE.id)
    assert found == replace(NOTE, tries=1, state=State.DELIVERED)


async def test_a_run_is_over_when_a_terminal_fact_is_to_be_told(pool: Pool) -> None:
    rows = PostgresNotifications(Rows(pool))
    await store(pool, Pending(of(STALLED, Channel.WEBHOOK, NOON)))
    assert not await rows.is_over(USER, RUN)
    await store(pool, Pending(of(READY, Channel.EMAIL, NOON)))
    assert await rows.is_over(USER, RUN)
    assert not await rows.is_over("acme.other", RUN)


async def test_another_user_sees_nothing(pool: Pool) -> None:
    await store(pool, Pending(NOTE))
    assert await PostgresNotifications(Rows(pool)).find("acme.other", NOTE.id) is None
    async with pool.acquire() as connection:
        assert await connection.fetchval("select count(*) from notification") == 0
