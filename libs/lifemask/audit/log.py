"""Reads a user's part of the event log on Kafka: of each topic the one partition that the user's key goes to."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from lifemask.audit.case import SeenRecord
from lifemask.audit.problems import Unreachable
from lifemask.audit.records import Located, id_of, run_of
from lifemask.contracts import Record, Topic

_PATIENCE: Final = 15.0


async def read_log(brokers: str, prefix: str, located: Located) -> list[SeenRecord]:
    """The run's records, from the beginning. Raises Unreachable."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=[each.strip() for each in brokers.split(",")],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            await consumer.start()
        return await _read(consumer, [topic.named(prefix) for topic in Topic], located)
    except (KafkaError, OSError, TimeoutError) as problem:
        raise Unreachable("Kafka", type(problem).__name__) from None
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, topics: Sequence[str], located: Located) -> list[SeenRecord]:
    there = await consumer.topics()
    places: list[TopicPartition] = []
    for topic in topics:
        if topic in there and (partitions := sorted(consumer.partitions_for_topic(topic) or ())):
            chosen = DefaultPartitioner()(located.user.encode(), partitions, partitions)
            places.append(TopicPartition(topic, chosen))
    if not places:
        return []
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
                if run_of(record) == located.run:
                    at = datetime.fromtimestamp(each.timestamp / 1000, UTC)
                    found.append(SeenRecord("Kafka", id_of(record), at, record))
    return found
