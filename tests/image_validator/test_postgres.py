"""The rows against a real PostgreSQL."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest
from tests.image_validator.test_verdicts import GOOD

from lifemask.bus.rows import Pool, Rows, act_for
from lifemask.contracts import Verdict, new_id
from lifemask.custody import RowCodes
from lifemask.image_validator.adapters.postgres import PostgresPhotos
from lifemask.image_validator.domain.album import Album, Clean, Decided, Photo, Terms, gone
from lifemask.image_validator.domain.photo import Kind, Measured
from lifemask.testkit.keys import test_keys

Migrated = Callable[[str], Awaitable[Pool]]
RUN = new_id()
CODES = RowCodes(test_keys().signers["image-validator"])


def photo(user: str = "acme.u1", place: int = 1) -> Photo:
    terms = Terms("e" * 64, "Pillow 1")
    return Photo(
        user, RUN, new_id(), place, GOOD, (), "a" * 64, terms, (1 << 255) - 3, Clean("c" * 64, 1234), told=True
    )


async def keep(pool: Pool, user: str, *rows: object) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await act_for(connection, user)
        for row in rows:
            await PostgresPhotos(Rows(pool), CODES).write(connection, row)


async def test_what_is_kept_comes_back(migrated: Migrated) -> None:
    pool = await migrated("image-validator")
    photos = PostgresPhotos(Rows(pool), CODES)
    assert await photos.of_run("acme.u1", RUN) == Album({}, decided=False)
    whole = photo()
    twin = replace(photo(place=2), similar_to=whole.photo_id, told=False)
    bare = Photo(
        "acme.u1", RUN, new_id(), 3, Measured(Kind.OTHER, 5), (Verdict.NOT_A_PHOTO, Verdict.FILE_TOO_SMALL), bound=False
    )
    removed = gone("acme.u1", RUN, new_id(), 4)
    rows = (twin, whole, bare, removed)
    await keep(pool, "acme.u1", *rows)
    assert await photos.of_run("acme.u1", RUN) == Album({one.photo_id: one for one in rows}, decided=False)


async def test_a_later_judgement_replaces_the_earlier(migrated: Migrated) -> None:
    pool = await migrated("image-validator")
    first = photo()
    later = replace(first, removed=True, told=False, likeness=None, clean=None, faults=(Verdict.BLURRY,))
    await keep(pool, "acme.u1", first)
    await keep(pool, "acme.u1", later, Decided("acme.u1", RUN), Decided("acme.u1", RUN))
    found = await PostgresPhotos(Rows(pool), CODES).of_run("acme.u1", RUN)
    assert found == Album({first.photo_id: later}, decided=True)


async def test_nobody_sees_or_writes_anothers_photos(migrated: Migrated) -> None:
    pool = await migrated("image-validator")
    mine = photo()
    await keep(pool, "acme.u1", mine, Decided("acme.u1", RUN))
    assert await PostgresPhotos(Rows(pool), CODES).of_run("acme.u2", RUN) == Album({}, decided=False)
    for foreign in (photo(), Decided("acme.u1", new_id())):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await keep(pool, "acme.u2", foreign)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await keep(pool, "acme.u2", replace(photo("acme.u2"), similar_to=mine.photo_id))


async def test_only_rows_of_the_service_are_kept(migrated: Migrated) -> None:
    pool = await migrated("image-validator")
    with pytest.raises(TypeError, match="no such row: str"):
        await keep(pool, "acme.u1", "something else")


@pytest.mark.parametrize(
    "change",
    [
        "clean = repeat('d', 64)",
        "original = repeat('d', 64)",
        "faults = '{BLURRY}'",
        "bound = false",
        "likeness = decode(repeat('07', 32), 'hex')",
        "likeness = null",
        "place = 7",
        "policy = repeat('d', 64)",
        "encoder = 'other'",
    ],
)
async def test_a_row_that_somebody_changed_counts_as_not_judged(migrated: Migrated, change: str) -> None:
    pool = await migrated("image-validator")
    mine, other = photo(), photo(place=2)
    await keep(pool, "acme.u1", mine, other)
    async with pool.acquire() as connection, connection.transaction():
        await act_for(connection, "acme.u1")
        await connection.execute(f"update photo set {change.lower()} where photo_id = $1", mine.photo_id)
    found = (await PostgresPhotos(Rows(pool), CODES).of_run("acme.u1", RUN)).photos
    assert found[other.photo_id] == other
    changed = found[mine.photo_id]
    assert (changed.usable, changed.bound, changed.clean, changed.original) == (False, False, None, None)


async def test_a_row_of_another_photo_or_key_is_not_believed(migrated: Migrated) -> None:
    pool = await migrated("image-validator")
    mine = photo()
    await keep(pool, "acme.u1", mine)
    strangers = PostgresPhotos(Rows(pool), RowCodes(test_keys().signers["packager"]))
    assert not (await strangers.of_run("acme.u1", RUN)).photos[mine.photo_id].bound
