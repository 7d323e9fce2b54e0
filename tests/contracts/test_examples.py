"""The example apps, run as an app's author would run them: own processes, real client, a store of either kind."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from tests.objects.wire import BUCKET, WireS3, serving
from tools.event_schemas import ROOT

from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import (
    ModelReady,
    ModelRevoked,
    PhotosUploaded,
    Record,
    Topic,
    new_id,
    pack,
    parse,
    read_envelope,
)
from lifemask.contracts.signing import check_event, sign, signature_of
from lifemask.objects import keys, open_objects
from lifemask.testkit.keys import app_signer, signed, test_keys, write_keys

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
USER, TRACE = "Ann-7", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def broker() -> Iterator[str]:
    with MockBroker() as cluster:
        for topic in Topic:
            cluster.create_topic(topic, 1)
        yield cluster.bootstrap


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two files whose names must not travel."""
    files = [tmp_path / "Ann at the beach.JPG", tmp_path / "me.png"]
    for number, file in enumerate(files):
        file.write_bytes(b"photo %d" % number)
    return files


@asynccontextmanager
async def running(name: str, *arguments: object, **environment: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *map(str, arguments),
        env={"PATH": os.environ["PATH"], **environment},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def publish(photos: list[Path], **environment: str) -> str:
    """Runs the publisher to its end; the run id that it prints."""
    key = photos[0].parent / "acme.pem"
    app_signer("acme").save(key)
    named = {"APP": "acme", "APP_KEY_FILE": str(key), "TRACEPARENT": TRACE}
    async with running("publisher.py", USER, *photos, **named, **environment) as process:
        out, problem = await process.communicate()
        assert process.returncode == 0, problem.decode()
        return out.decode().strip()


async def first(topic: Topic, broker: str) -> ConsumerRecord:
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest") as consumer:
        return await consumer.getone()


async def test_the_publisher_says_what_it_has_put_into_a_folder(
    broker: str, photos: list[Path], tmp_path: Path
) -> None:
    store = (tmp_path / "objects").as_uri()
    run = await publish(photos, KAFKA=broker, STORE=store)
    record = await first(Topic.UPLOADS, broker)
    event, envelope = parse(record), read_envelope(record.headers)
    assert isinstance(event, PhotosUploaded)
    assert (event.user_id, event.run_id, event.objects) == ("acme.Ann-7", run, ("001.jpg", "002.png"))
    assert record.key == b"acme.Ann-7"
    assert (envelope.source, envelope.subject, envelope.traceparent) == ("app/acme", run, TRACE)
    assert b"beach" not in record.value
    keyid, signature = signature_of(record)
    assert keyid == app_signer("acme").keyid
    check_event(app_signer("acme").public, envelope, record.key, record.value, signature)
    async with open_objects(store) as objects:
        found = [await objects.get(keys.incoming("acme", USER, event.upload, name), limit=99) for name in event.objects]
    assert found == [b"photo 0", b"photo 1"]


async def test_the_publisher_uses_s3_alike(broker: str, photos: list[Path]) -> None:
    s3 = WireS3()
    async with serving(s3) as endpoint:
        run = await publish(
            photos,
            KAFKA=broker,
            STORE=f"s3://{BUCKET}",
            AWS_ENDPOINT_URL=endpoint,
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_REGION="us-east-1",
        )
    expected = {
        keys.incoming("acme", USER, run, "001.jpg"): b"photo 0",
        keys.incoming("acme", USER, run, "002.png"): b"photo 1",
    }
    assert {key: data for key, (data, _) in s3.objects.items()} == expected


async def test_the_subscriber_tells_of_models_and_goes_on_after_records_it_cannot_read(
    broker: str, tmp_path: Path
) -> None:
    ready, revoked = ModelReady.example(), ModelRevoked.example()
    strange = Record(Topic.MODELS, b"k", b"{}", (("ce_id", b"1"), ("ce_source", b"x"), ("ce_type", b"lifemask.new.v7")))
    forged = pack(ready, id=new_id(), source="lifemask/publisher", time=datetime.now(UTC))
    folder = write_keys(tmp_path / "keys")
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        for record in (
            signed(ready),
            sign(strange, test_keys().signers["publisher"]),
            strange._replace(headers=()),
            forged,
            signed(revoked),
        ):
            await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))
    whom = {"KEYRING": str(folder / "keyring.json"), "ROOT": (folder / "root.fingerprint").read_text().strip()}
    async with running("subscriber.py", KAFKA=broker, GROUP="gallery", **whom) as process:
        assert process.stdout
        assert process.stderr
        told = [(await process.stdout.readline()).decode().split() for _ in range(2)]
        skipped = [(await process.stderr.readline()).decode().split()[-1] for _ in range(3)]
    assert told == [
        ["ready", ready.user_id, ready.model_id, ready.store_key],
        ["revoked", revoked.user_id, revoked.model_id],
    ]
    assert skipped == ["allowed", "BadEnvelope", "unsigned"]


def snippets(readme: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)


def test_the_readmes_show_the_examples_as_they_are() -> None:
    publisher = (EXAMPLES / "publisher.py").read_text()
    assert snippets(ROOT / "contracts" / "README.md") == [(EXAMPLES / "subscriber.py").read_text(), publisher]
    assert publisher in snippets(ROOT / "README.md")
