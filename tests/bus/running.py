"""Services that run as in production, against the embedded broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from lifemask.bus.inbound import Raw
from lifemask.bus.service import Service
from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import Topic
from lifemask.runtime.settings import ServiceSettings

PATIENCE = 15.0
"""Seconds within which what is awaited must have come."""


@contextmanager
def a_broker(partitions: int = 4) -> Iterator[MockBroker]:
    with MockBroker() as broker:
        for topic in Topic:
            broker.create_topic(topic, partitions)
        yield broker


def settings_for(broker: MockBroker, dsn: str, **changes: Any) -> ServiceSettings:
    quick = {"kafka_session_timeout_ms": 2000, "kafka_heartbeat_ms": 400, "kafka_fetch_wait_ms": 20, "poll": 0.05}
    return ServiceSettings.model_validate({"kafka": broker.bootstrap, "postgres": dsn, **quick, **changes})


def as_owner(postgres: str, dsn: str) -> str:
    """The database of `dsn` as the superuser of the server."""
    name = dsn.partition("?")[0].rsplit("/", 1)[1]
    head, _, query = postgres.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}?{query}"


@asynccontextmanager
async def running(service: Service) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(service.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ExceptionGroup):
            await task


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Waits until the condition is true."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110  what is awaited is a row of a database
            await asyncio.sleep(0.01)


async def send(
    broker: MockBroker,
    records: Sequence[Raw],
    partition: int | None = None,
    by: AIOKafkaProducer | None = None,
) -> None:
    async with by or AIOKafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=50) as producer:
        sent = [
            await producer.send(one.topic, value=one.value, key=one.key, headers=list(one.headers), partition=partition)
            for one in records
        ]
        await asyncio.gather(*sent)


async def read_all(broker: MockBroker, topic: str) -> list[dict[str, bytes]]:
    """The headers of every record of a topic."""
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        found: list[dict[str, bytes]] = []
        ends = await consumer.end_offsets(consumer.assignment())
        while len(found) < sum(ends.values()):
            batches = await consumer.getmany(timeout_ms=100)
            found += [dict(record.headers) for batch in batches.values() for record in batch]
        return found
