"""A fresh database with the lab's service in it."""

from collections.abc import Awaitable, Callable

import pytest
from tests.bus.lab import Lab, add_notes

from lifemask.bus.rows import Pool


@pytest.fixture
async def pool(postgres: str, migrated: Callable[[str], Awaitable[Pool]]) -> Pool:
    pool = await migrated("packager")
    name = await pool.fetchval("select current_database()")
    head, _, query = postgres.partition("?")
    await add_notes(pool, f"{head.rsplit('/', 1)[0]}/{name}?{query}")
    return pool


@pytest.fixture
def lab(pool: Pool) -> Lab:
    return Lab.of(pool)
