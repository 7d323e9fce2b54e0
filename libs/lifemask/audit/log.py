"""Reads a user's part of the event log on Kafka: of each topic the one partition that the user's key goes to."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from lifemask.audit.case import SeenRecord
from lifemask.audit.problems import Unreachable
from lifemask.audit.records import Located, id_of, mentions
from lifemask.bus.undecodable import tolerate
from lifemask.contracts import Record, Topic

_PATIENCE: Final = 15.0


async def read_log(brokers: str, prefix: str, located: Located) -> list[SeenRecord]:
    """The run's records, from the beginning. Raises Unreachable."""
    tolerate()  # what cannot be decoded has no key, so that it is nobody's
    servers = [each.strip() for each in brokers.split(",")]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            places = await _places(servers, {topic.named(prefix) for topic in Topic}, located.user)
            await consumer.start()
        return await _read(consumer, places, located) if places else []
    except (KafkaError, OSError, TimeoutError) as problem:
        raise Unreachable("Kafka", type(problem).__name__) from None
    finally:
        await consumer.stop()


async def _places(servers: list[str], topics: set[str], user: str) -> list[TopicPartition]:
    """Asked of all topics, because asking by name may create one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        await admin.start()
        described = await admin.describe_topics()
    finally:
        await admin.close()
    choose, key = DefaultPartitioner(), user.encode()
    partitions = {
        each["topic"]: sorted(part["partition"] for part in each["partitions"])
        for each in described
        if each["topic"] in topics and each["partitions"]
    }
    return [TopicPartition(topic, choose(key, numbers, numbers)) for topic, numbers in sorted(partitions.items())]


async def _read(consumer: AIOKafkaConsumer, places: list[TopicPartition], located: Located) -> list[SeenRecord]:
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    found: list[SeenRecord] = []
    while waiting := [place for place in places if await consumer.position(place) < ends[place]]:
        batches = await consumer.getmany(*waiting, timeout_ms=500)
        for records in batches.values():
            for each in records:
                if each.key != located.user.encode():
                    continue
                headers = tuple((name, value or b"") for name, value in each.headers)
                record = Record(each.topic, each.key, each.value or b"", headers)
                if mentions(record, located.run):
                    at = datetime.fromtimestamp(each.timestamp / 1000, UTC)
                    found.append(SeenRecord("Kafka", id_of(record), at, record))
    return found
