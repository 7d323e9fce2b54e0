"""The stores that the suite runs against."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lifemask.objects import open_objects
from lifemask.objects.port import ObjectStore
from lifemask.testkit.objects import InMemoryObjects


@pytest.fixture(params=["memory", "local"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield InMemoryObjects()
        else:
            yield await stack.enter_async_context(open_objects(tmp_path.as_uri()))
