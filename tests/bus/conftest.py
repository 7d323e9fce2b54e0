"""An empty database with the lab's service in it."""

import pytest
from tests.bus.lab import NOTES, Lab
from tests.conftest import Migrated

from lifemask.bus.rows import Pool


@pytest.fixture
async def pool(migrated: Migrated) -> Pool:
    return await migrated("packager", NOTES)


@pytest.fixture
def lab(pool: Pool) -> Lab:
    return Lab.of(pool)
