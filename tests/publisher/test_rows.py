"""The publications' rows on PostgreSQL: a state goes forward only."""

from collections.abc import Sequence

import asyncpg
import pytest
from tests.conftest import Migrated
from tests.publisher.world import RUN, USER, publication

from lifemask.bus.rows import Pool, Rows, act_for
from lifemask.publisher.adapters.postgres import PostgresPublications, write_row
from lifemask.publisher.domain import (
    Checked,
    Intended,
    Published,
    Revocation,
    Revoked,
    Revoking,
    State,
    Withdrawing,
    Withdrawn,
)

INTENDED = Intended(publication())
CHECKED = Checked(publication().at("c" * 40))
PUBLISHED = Published(USER, RUN)
WITHDRAWING = Withdrawing(USER, RUN, publication().model_id)
WITHDRAWN = Withdrawn(USER, RUN)
WORDS = Revocation("The photos were another person's.", "kim")
REVOKING = Revoking(USER, RUN, WORDS)
REVOKED = Revoked(USER, RUN)


@pytest.fixture
async def pool(migrated: Migrated) -> Pool:
    return await migrated("publisher")


async def store(pool: Pool, *rows: object) -> None:
    for row in rows:
        async with pool.acquire() as connection, connection.transaction():
            await act_for(connection, USER)
            await write_row(connection, row)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([INTENDED], State.INTENDED),
        ([INTENDED, CHECKED], State.INTENDED),
        ([INTENDED, CHECKED, PUBLISHED], State.PUBLISHED),
        ([WITHDRAWING], State.WITHDRAWING),
        ([INTENDED, WITHDRAWING], State.WITHDRAWING),
        ([INTENDED, CHECKED, WITHDRAWING, PUBLISHED], State.WITHDRAWING),
        ([WITHDRAWING, INTENDED, CHECKED, PUBLISHED], State.WITHDRAWING),
        ([INTENDED, CHECKED, PUBLISHED, WITHDRAWING], State.PUBLISHED),
        ([INTENDED, WITHDRAWN], State.INTENDED),
        ([INTENDED, WITHDRAWING, WITHDRAWN], State.WITHDRAWN),
        ([INTENDED, WITHDRAWING, WITHDRAWN, WITHDRAWING, PUBLISHED], State.WITHDRAWN),
        ([INTENDED, CHECKED, PUBLISHED, REVOKING], State.REVOKING),
        ([INTENDED, REVOKING, CHECKED, PUBLISHED, WITHDRAWING], State.REVOKING),
        ([INTENDED, CHECKED, PUBLISHED, REVOKED], State.PUBLISHED),
        ([INTENDED, CHECKED, PUBLISHED, REVOKING, REVOKED], State.REVOKED),
        ([INTENDED, CHECKED, PUBLISHED, REVOKING, REVOKED, REVOKING, WITHDRAWING, WITHDRAWN], State.REVOKED),
        ([INTENDED, WITHDRAWING, REVOKING, REVOKED], State.WITHDRAWING),
        ([INTENDED, WITHDRAWING, WITHDRAWN, REVOKING], State.WITHDRAWN),
    ],
)
async def test_states_go_forward_only(pool: Pool, rows: Sequence[object], state: State) -> None:
    await store(pool, *rows)
    known = await PostgresPublications(Rows(pool)).find(USER, RUN)
    assert known
    assert known.state is state
    assert known.publication.model_id == publication().model_id


async def test_a_checked_place_never_changes(pool: Pool) -> None:
    await store(pool, INTENDED, CHECKED, Intended(publication(4)), Checked(publication(4).at("d" * 40)))
    known = await PostgresPublications(Rows(pool)).find(USER, RUN)
    assert known
    assert known.is_checked
    assert known.publication == publication().at("c" * 40)


async def test_a_withdrawal_knows_the_repository_that_was_intended(pool: Pool) -> None:
    await store(pool, INTENDED, WITHDRAWING)
    known = await PostgresPublications(Rows(pool)).find(USER, RUN)
    assert known
    assert known.publication.repo == publication().repo


async def test_the_first_words_of_a_revocation_stay(pool: Pool) -> None:
    await store(pool, INTENDED, CHECKED, PUBLISHED)
    rows = PostgresPublications(Rows(pool))
    before = await rows.find(USER, RUN)
    assert before
    assert before.revocation is None
    await store(pool, REVOKING, Revoking(USER, RUN, Revocation("Something else.", "lee")), REVOKED, REVOKING)
    known = await rows.find(USER, RUN)
    assert known
    assert (known.revocation, known.publication) == (WORDS, before.publication)


async def test_another_user_sees_and_writes_nothing(pool: Pool) -> None:
    await store(pool, INTENDED)
    rows = PostgresPublications(Rows(pool))
    assert await rows.find("acme.other", RUN) is None
    async with pool.acquire() as connection:
        assert await connection.fetchval("select count(*) from publication") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await write_row(connection, Intended(publication(9)))
