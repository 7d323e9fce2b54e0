"""The stores that the suite runs against."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.objects.wire import BUCKET, WireS3, wired

from lifemask.objects import open_objects
from lifemask.objects.port import ObjectStore, StoreLimits
from lifemask.objects.s3 import open_s3
from lifemask.testkit.objects import InMemoryObjects


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireS3]:
    """A small S3 that the AWS_* variables lead to."""
    async with wired(monkeypatch) as s3:
        yield s3


@pytest.fixture
async def s3(wire: WireS3) -> AsyncIterator[ObjectStore]:
    """The real client on that small S3, tried once, so that no test waits between tries."""
    async with open_s3(BUCKET, StoreLimits(read_timeout=1, tries=1)) as objects:
        yield objects


@pytest.fixture(params=["memory", "local", "wire", pytest.param("s3", marks=pytest.mark.real)])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which store. `s3` is a real server, started when the first test asks for it."""
    if request.param == "s3":
        environment: dict[str, str] = request.getfixturevalue("s3_environment")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return environment["LIFEMASK_OBJECTS"]
    return str(request.param)


@pytest.fixture
async def store(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
    async with AsyncExitStack() as stack:
        match kind:
            case "memory":
                yield InMemoryObjects()
            case "local":
                yield await stack.enter_async_context(open_objects(tmp_path.as_uri()))
            case "wire":
                await stack.enter_async_context(wired(monkeypatch))
                yield await stack.enter_async_context(open_objects(f"s3://{BUCKET}"))
            case bucket:
                yield await stack.enter_async_context(open_objects(bucket))
