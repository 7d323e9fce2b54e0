"""A whole chain, fresh for each test."""

import pytest
from tests.custody.runs import Run, sealed


@pytest.fixture
async def ann() -> Run:
    return await sealed()
