"""Topics on three nodes: made once, compared afterwards, asked for by services."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tools.kafka import Kafka

from lifemask.bus.topics import TopicsMissing, require_topics
from lifemask.cli.topics import TopicsRefused, Wanted, prepare_topics
from lifemask.contracts import Topic
from lifemask.contracts.topics import PROBES

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

WANTED = Wanted(partitions=3)


def all_topics(prefix: str) -> list[str]:
    return sorted([*(topic.named(prefix) for topic in Topic), prefix + PROBES])


@pytest.fixture
def brokers(kafka: Kafka) -> list[str]:
    return kafka.bootstrap.split(",")


async def test_topics_are_made_once_and_as_they_should_be(brokers: list[str], prefix: str) -> None:
    first = await prepare_topics(brokers, prefix, WANTED)
    assert sorted(first.made) == all_topics(prefix)
    assert (first.copies, first.brokers) == (3, 3)
    second = await prepare_topics(brokers, prefix, WANTED)
    assert (second.made, second.differing) == ([], {})


async def test_two_migrations_at_once_do_not_hinder_each_other(brokers: list[str], prefix: str) -> None:
    both = await asyncio.gather(*(prepare_topics(brokers, prefix, WANTED) for _ in range(2)))
    assert sorted(both[0].made + both[1].made) == all_topics(prefix)


async def test_what_differs_is_named_and_left_alone(brokers: list[str], prefix: str) -> None:
    runs, photos = Topic.RUNS.named(prefix), Topic.PHOTOS.named(prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    short = {"retention.ms": "604800000", "cleanup.policy": "compact"}
    await admin.create_topics([NewTopic(runs, 2, 1, topic_configs=short), NewTopic(photos, 3, 3)])
    await admin.close()
    for _ in range(2):
        found = await prepare_topics(brokers, prefix, WANTED)
        assert found.differing == {
            runs: [
                "partitions 2, not 3",
                "replicas 1, not 3",
                "retention.ms 604800000, not -1",
                "cleanup.policy compact, not delete",
                "message.timestamp.type CreateTime, not LogAppendTime",
                "min.insync.replicas 1, not 2",
            ],
            photos: [
                "retention.ms 604800000, not -1",
                "message.timestamp.type CreateTime, not LogAppendTime",
                "min.insync.replicas 1, not 2",
            ],
        }


async def test_more_copies_than_brokers_are_refused(brokers: list[str], prefix: str) -> None:
    with pytest.raises(TopicsRefused, match="InvalidReplicationFactor"):
        await prepare_topics(brokers, prefix, Wanted(partitions=3, replicas=4))


async def test_a_service_is_told_which_topics_are_missing(brokers: list[str], prefix: str) -> None:
    names = [topic.named(prefix) for topic in (Topic.RUNS, Topic.USERS)]
    with pytest.raises(TopicsMissing, match=f"{names[0]}, {names[1]}"):
        await require_topics(brokers, names)
    await prepare_topics(brokers, prefix, WANTED)
    await require_topics(brokers, names)
