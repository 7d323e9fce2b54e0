"""Whole runs and refusals through Kafka and through targets, on three Kafka nodes and S3, as an app outside does it."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.real.outside import Outside
from tests.real.system import PATIENCE, System, up
from tests.real.world import until
from tools.kafka import Kafka

from lifemask.cli.client import Api
from lifemask.cli.portraits import draw_album
from lifemask.contracts import ModelReady, PhotosUploaded, RunAccepted, RunRejected, RunRequest, new_id, user_id

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PHOTOS = 14
REQUEST = RunRequest(name="Real", trigger_word="TOK")


@pytest.fixture(scope="module")
def system(kafka: Kafka, s3_environment: dict[str, str]) -> Iterator[System]:
    """One system for all tests of this file, with the topics' plain names, as the example programs use them."""
    settings = {**s3_environment, "LIFEMASK_KAFKA": kafka.bootstrap, "LIFEMASK_KAFKA_PARTITIONS": "6"}
    stack = AsyncExitStack()
    with tempfile.TemporaryDirectory(prefix="lm-real-") as folder, asyncio.Runner() as runner:
        told = runner.run(stack.enter_async_context(up(Path(folder), settings)))
        try:
            yield System(told, settings)
        finally:
            runner.run(stack.aclose())


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [drawn.path for drawn in draw_album(tmp_path_factory.mktemp("album"), photos=PHOTOS, unfit=0)]


@pytest.fixture
def outside(system: System) -> Outside:
    return Outside(system)


@pytest.fixture
def user() -> str:
    """A user of the test's own."""
    return f"u{new_id()[-12:]}"


async def assert_empty(outside: Outside, user: str) -> None:
    """Nothing of the user lies in the incoming prefix any more; deleting follows the answer."""

    async def is_empty() -> bool:
        return not await outside.incoming(user)

    await until(is_empty)


async def test_an_announced_upload_becomes_a_model(outside: Outside, album: list[Path], user: str) -> None:
    owner = user_id(outside.system.app, user)
    run = await outside.publish(user, album)
    word, heard, model, store_key = await outside.subscribe(owner)
    assert (word, heard) == ("ready", owner)
    assert (await outside.hear(RunAccepted, run)).door == "kafka"
    ready = await outside.hear(ModelReady, run)
    assert (ready.model_id, ready.store_key) == (model, store_key)
    await assert_empty(outside, user)


async def test_files_at_targets_become_a_model(outside: Outside, album: list[Path], user: str) -> None:
    told = outside.system.told
    async with Api(told["url"], told["app_key"]) as api:
        run = await api.create_run(user, {"name": "Real", "trigger_word": "TOK"}, idempotency_key=new_id())
        given = await targets(outside.system, user, run.id, album)
        async with httpx.AsyncClient(trust_env=False) as http:
            for target, photo in zip(given, album, strict=True):
                where, content = target["url"], photo.read_bytes()
                assert where.startswith(outside.system.aws["AWS_ENDPOINT_URL_S3"])
                other = await http.put(where, content=content[:-1] + b"x", headers=target["headers"])
                assert 400 <= other.status_code < 500  # not the SHA-256 that was announced
                assert (await http.put(where, content=content, headers=target["headers"])).is_success
        await api.submit(user, run.id)
        async with asyncio.timeout(PATIENCE):
            async for _ in api.events(user, run.id):
                pass
        ended = await api.run(user, run.id)
    assert ended.status == "ready", ended.summary
    accepted = await outside.hear(RunAccepted, run.id)
    assert (accepted.door, accepted.photos) == ("presigned", PHOTOS)
    await assert_empty(outside, user)


async def targets(system: System, user: str, run: str, photos: list[Path]) -> list[dict[str, Any]]:
    """A target for each photo."""
    files = [
        {
            "name": photo.name,
            "bytes": photo.stat().st_size,
            "sha256": hashlib.sha256(photo.read_bytes()).hexdigest(),
            "content_type": "image/jpeg",
        }
        for photo in photos
    ]
    headers = {"Authorization": f"Bearer {system.told['app_key']}"}
    async with httpx.AsyncClient(base_url=system.told["url"], headers=headers, trust_env=False) as http:
        answer = await http.post(f"/v1/users/{user}/runs/{run}/uploads", json={"files": files})
    assert answer.status_code == 201, answer.text
    found: list[dict[str, Any]] = answer.json()["targets"]
    return found


def announced(outside: Outside, user: str, upload: str, names: tuple[str, ...]) -> PhotosUploaded:
    owner = user_id(outside.system.app, user)
    return PhotosUploaded(user_id=owner, run_id=new_id(), upload=upload, objects=names, request=REQUEST)


async def test_an_upload_with_a_missing_object_is_refused(outside: Outside, album: list[Path], user: str) -> None:
    names = await outside.put(user, "up-1", album)
    event = announced(outside, user, "up-1", (*names, "gone.jpg"))
    await outside.announce(event)
    rejected = await outside.hear(RunRejected, event.run_id)
    assert rejected.failure.code == "upload_refused"
    assert rejected.failure.what.endswith("not in the incoming prefix: gone.jpg.")
    await assert_empty(outside, user)


async def test_an_upload_with_bad_parameters_is_refused(outside: Outside, album: list[Path], user: str) -> None:
    names = await outside.put(user, "up-1", album[:2])
    event = announced(outside, user, "up-1", names)
    body = json.loads(event.body())
    body["request"]["steps"] = 1
    await outside.announce(event, json.dumps(body).encode())
    rejected = await outside.hear(RunRejected, event.run_id)
    assert rejected.failure.code == "upload_refused"
    assert "request.steps" in rejected.failure.what
    await assert_empty(outside, user)
