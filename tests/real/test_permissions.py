"""Credentials that may write but not read: the refusal is said aloud, with the permission that is missing."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aioboto3
import pytest
from tools.s3 import S3Place, gateway, running_s3

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts import FailureCode
from lifemask.objects import open_objects
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectStore

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

KEY = Key("users/acme.ann/runs/r/a")
WRITER = ("writer", "a-secret-of-the-writer")


@pytest.fixture
async def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
    """The store as a user of its own, whom a bucket policy allows s3:PutObject alone."""
    async with running_s3(tmp_path) as place:
        await _make_user(place)
        await _allow(place, "s3:PutObject")
        for name, value in place.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", WRITER[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRITER[1])
        async with open_objects(f"s3://{place.bucket}") as objects:
            yield objects


async def test_a_store_that_may_only_be_written_says_so(writer: ObjectStore) -> None:
    await writer.put(KEY, b"photo")
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "GetObject": lambda: writer.get(KEY, limit=9),
        "DeleteObject": lambda: writer.delete(KEY),
        "ListBucket": lambda: _first(writer),
    }
    for permission, call in calls.items():
        with pytest.raises(Misconfigured, match=f"s3:{permission} denied") as refused:
            await call()
        assert refused.value.code is FailureCode.STORE_DENIED
        assert "ann" not in str(refused.value)
    with pytest.raises(Misconfigured, match="s3:GetObject"):
        await writer.head(KEY)


async def _first(store: ObjectStore) -> object:
    return await anext(store.list("users/acme.ann/"))


async def _make_user(place: S3Place) -> None:
    admin = ("admin", "-a", place.access_key, "-s", place.secret_key, "--er", place.endpoint)
    user = ("create-user", "-a", WRITER[0], "-s", WRITER[1], "-r", "user")
    process = await asyncio.create_subprocess_exec(gateway(), *admin, *user)
    assert await process.wait() == 0


async def _allow(place: S3Place, *actions: str) -> None:
    allowed = {
        "Effect": "Allow",
        "Principal": {"AWS": [WRITER[0]]},
        "Action": list(actions),
        "Resource": [f"arn:aws:s3:::{place.bucket}/*"],
    }
    session = aioboto3.Session(place.access_key, place.secret_key, region_name="us-east-1")
    async with session.client("s3", endpoint_url=place.endpoint) as s3:
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        await s3.put_bucket_policy(Bucket=place.bucket, Policy=policy)
