"""The stores that the suite runs against."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lifemask.objects import open_objects
from lifemask.objects.port import ObjectStore
from lifemask.testkit.objects import InMemoryObjects


@pytest.fixture(params=["memory", "local", pytest.param("s3", marks=pytest.mark.real)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """`s3` is a real server: LIFEMASK_TEST_S3 names its bucket (s3://bucket), AWS_* how to reach it."""
    async with AsyncExitStack() as stack:
        match request.param:
            case "memory":
                yield InMemoryObjects()
            case "local":
                yield await stack.enter_async_context(open_objects(tmp_path.as_uri()))
            case _:
                yield await stack.enter_async_context(open_objects(os.environ["LIFEMASK_TEST_S3"]))
