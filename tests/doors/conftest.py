"""A fresh world for each test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.doors.upstream import Upstream
from tests.ingest.world import World, a_world


@pytest.fixture
async def world(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(await database("ingest"), tmp_path) as world:
        yield world


@pytest.fixture
def upstream(world: World) -> Upstream:
    return Upstream(world)
