"""A whole run through the six services over real Kafka and a real S3: other settings, the same code."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from tests.real.system import PATIENCE, up
from tools.kafka import Kafka

from lifemask.cli.client import Api
from lifemask.cli.portraits import draw_album
from lifemask.contracts import DatasetSealed, ModelReady, PhotosValidated, RunAccepted, Topic, TrainingSucceeded, new_id
from lifemask.objects import open_objects

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


async def test_photos_become_a_model(
    kafka: Kafka, s3_environment: dict[str, str], prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        **s3_environment,
        "LIFEMASK_KAFKA": kafka.bootstrap,
        "LIFEMASK_KAFKA_PARTITIONS": "6",
        "LIFEMASK_TOPIC_PREFIX": prefix,
    }
    photos = [drawn.path for drawn in draw_album(tmp_path / "photos", photos=14, unfit=0)]
    user = f"u{new_id()[-12:]}"
    async with up(tmp_path / "data", settings) as ready, Api(ready["url"], ready["app_key"]) as api:
        run = await api.create_run(user, {"name": "Real", "trigger_word": "TOK"}, idempotency_key=new_id())
        await api.upload(user, run.id, photos)
        await api.submit(user, run.id)
        async with asyncio.timeout(PATIENCE):
            async for _ in api.events(user, run.id):
                pass
        ended = await api.run(user, run.id)
    assert ended.status == "ready", ended.summary
    types = [kind for topic in Topic for kind in await types_on(kafka.bootstrap, topic.named(prefix), run.id)]
    chain = (RunAccepted, PhotosValidated, DatasetSealed, TrainingSucceeded, ModelReady)
    assert [types.count(kind.ce_type) for kind in chain] == [1, 1, 1, 1, 1]
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    async with open_objects(s3_environment["LIFEMASK_OBJECTS"]) as objects:
        kept = [info.key async for info in objects.list(f"users/{ready['app']}.{user}/models/")]
    assert sorted(key.rsplit("/", 1)[1] for key in kept) == ["lora.safetensors", "metadata.json"]


async def types_on(bootstrap: str, topic: str, run: str) -> list[str]:
    """The types of a run's events on a topic."""
    brokers = bootstrap.split(",")
    async with AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[dict[str, bytes]] = []
        while len(found) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += [dict(record.headers) for record in batch]
    return [one["ce_type"].decode() for one in found if one.get("ce_subject") == run.encode()]
