"""`lifemask doctor` before real servers: rights at an S3, topics on a Kafka, and what else is wrong, at once."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aioboto3
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from tests.doctor.house import House, Visit, house_in_order
from tests.real.test_store_accounts import ACCOUNTS, POLICIES
from tools.kafka import Kafka
from tools.s3 import S3Place, running_s3

from lifemask.bus.roles import SERVICES
from lifemask.cli.store_accounts import bucket_policy, make_accounts, secret_variable
from lifemask.contracts import Topic
from lifemask.contracts.topics import PROBES
from lifemask.objects.keys import PROBE

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

TAKEN: Final = {
    "packager": ("s3:GetObject", "users/*/runs/*/clean/*"),
    "trainer": ("s3:PutObject", "users/*/runs/*/weights/*"),
    "publisher": ("s3:DeleteObject", "users/*/models/*"),
    "image-validator": ("s3:ListBucket", ""),
    "ingest": ("s3:AbortMultipartUpload", "incoming/*"),
}
"""One right that each service loses."""
LASTING: Final = "is no lasting record: it should have"


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Place]:
    """A store with the services' own accounts."""
    async with running_s3(tmp_path / "s3") as place:
        for name, value in place.environment().items():
            monkeypatch.setenv(name, value)
        await make_accounts(place.bucket, POLICIES, ACCOUNTS)
        yield place


@pytest.fixture
async def house(postgres: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in_order(postgres, tmp_path) as house:
        yield house


def told(house: House, place: S3Place, kafka: Kafka, topics: str) -> dict[str, str]:
    """As `up` and compose tell the services: a secret for each, and nobody's for all."""
    secrets = {secret_variable(account.service): account.secret for account in ACCOUNTS}
    return (
        house.told
        | place.environment()
        | secrets
        | {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nobody-at-all",
            "LIFEMASK_KAFKA": kafka.bootstrap,
            "LIFEMASK_TOPIC_PREFIX": topics,
        }
    )


@pytest.fixture
async def topics(topics: str, kafka: Kafka) -> str:
    """On a cluster that has had groups before: a new one takes seconds to make the place for them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap.split(","), group_id=f"{topics}first")
    await consumer.start()
    try:
        part = TopicPartition(topics + PROBES, 0)
        consumer.assign([part])
        await consumer.commit({part: 0})
    finally:
        await consumer.stop()
    return topics


async def test_what_works_is_not_complained_of(house: House, place: S3Place, kafka: Kafka, topics: str) -> None:
    visit = await house.doctor(told(house, place, kafka, topics))
    assert [(each["service"], each["part"]) for each in visit.problems] == [("ingest", "address")], visit.problems
    assert await left_behind(place) == []


async def test_twelve_misconfigurations_are_named_in_one_run(
    house: House, place: S3Place, kafka: Kafka, topics: str
) -> None:
    await take_rights(place)
    await alter(kafka, Topic.RUNS.named(topics), "retention.ms", "604800000")
    await alter(kafka, Topic.MODELS.named(topics), "message.timestamp.type", "CreateTime")
    await delete(kafka, Topic.PHOTOS.named(topics))
    await house.database.run("revoke insert on packager.outbox from lifemask_packager")
    (house.keys / "publisher.pem").unlink()
    visit = await house.doctor(
        told(house, place, kafka, topics)
        | {secret_variable("notifier"): "another-secret", "LIFEMASK_SMTP": "smtp://127.0.0.1:9", "HF_TOKEN": "hf_wrong"}
    )
    for service, (permission, resource) in TAKEN.items():
        problem, fix = the_one(visit, service, "store")
        where = place.bucket + (f"/{resource}" if resource else "")
        assert problem.startswith(f"{permission} denied on {where} ("), problem
        statement = json.loads(fix.partition(": ")[2])
        assert statement == {"Effect": "Allow", "Action": [permission], "Resource": [f"arn:aws:s3:::{where}"]}
    packager, _ = the_one(visit, "packager", "store")
    assert "(ListBucket ok, " in packager
    assert "PutObject ok" in packager
    assert "the secret key does not fit" in the_one(visit, "notifier", "store")[0]
    assert "denied: insert on packager.outbox" in the_one(visit, "packager", "postgres")[0]
    assert "the key of publisher cannot be read" in the_one(visit, "publisher", "keys")[0]
    assert "the hub refuses the token (401)" in the_one(visit, "publisher", "hub")[0]
    assert "does not greet us" in the_one(visit, "notifier", "mail")[0]
    assert "nobody answers at LIFEMASK_PUBLIC_URL" in the_one(visit, "ingest", "address")[0]
    of_kafka = {each["problem"] for each in visit.problems if each["part"] == "kafka"}
    assert of_kafka == {
        f"{topics}lifemask.runs {LASTING} retention.ms=-1 (is 604800000)",
        f"{topics}lifemask.models {LASTING} message.timestamp.type=LogAppendTime (is CreateTime)",
        f"the topic {topics}lifemask.photos does not exist",
    }
    assert (visit.code, visit.was_quick) == (1, True), visit.seconds


def the_one(visit: Visit, service: str, part: str) -> tuple[str, str]:
    """The problem that a service has with a part, and its fix: only one."""
    found = [each for each in visit.problems if (each["service"], each["part"]) == (service, part)]
    assert len(found) == 1, found
    return found[0]["problem"], found[0]["fix"]


async def take_rights(place: S3Place) -> None:
    policy: dict[str, Any] = json.loads(bucket_policy(place.bucket, POLICIES, ACCOUNTS))
    statements = []
    for statement in policy["Statement"]:
        service = statement["Principal"]["AWS"][0].removeprefix("lifemask-")
        permission, resource = TAKEN.get(service, ("", ""))
        arn = f"arn:aws:s3:::{place.bucket}" + (f"/{resource}" if resource else "")
        for each in statement["Resource"]:
            actions = [action for action in statement["Action"] if (action, each) != (permission, arn)]
            if actions:
                statements.append({**statement, "Action": actions, "Resource": [each]})
    async with admin_of(place) as s3:
        await s3.put_bucket_policy(
            Bucket=place.bucket, Policy=json.dumps({**policy, "Statement": statements}, separators=(",", ":"))
        )


async def left_behind(place: S3Place) -> list[str]:
    """Keys of objects and of uploads that were begun."""
    async with admin_of(place) as s3:
        objects = await s3.list_objects_v2(Bucket=place.bucket)
        uploads = await s3.list_multipart_uploads(Bucket=place.bucket)
    assert PROBE not in str(objects)
    return [each["Key"] for each in (*objects.get("Contents", ()), *uploads.get("Uploads", ()))]


def admin_of(place: S3Place) -> Any:
    session = aioboto3.Session(place.access_key, place.secret_key, region_name="us-east-1")
    return session.client("s3", endpoint_url=place.endpoint)


async def alter(kafka: Kafka, topic: str, name: str, value: str) -> None:
    """Keeps the other settings: the call replaces them all."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap.split(","))
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        set_here = {entry[0]: entry[1] for entry in answer.resources[0][4] if entry[3] == 1}
        configs = set_here | {name: value}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
    finally:
        await admin.close()


async def delete(kafka: Kafka, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap.split(","))
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()


def test_each_service_but_one_loses_a_right() -> None:
    assert set(TAKEN) | {"notifier"} == set(SERVICES)
