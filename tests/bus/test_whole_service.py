"""One service over a broker and a database, as it runs in production."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.service import Service, open_bus
from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import (
    DatasetSealed,
    Event,
    PhotosValidated,
    Stage,
    Topic,
    parse,
)
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.keys import signed, test_keys


async def seal(event: PhotosValidated) -> Sequence[Outcome]:
    return [an_event(DatasetSealed, **event.run)]


ROUTES = (on(PhotosValidated, seal, brings="run"),)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    task = asyncio.create_task(service.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_an_event_goes_in_and_its_fact_comes_out(database: Callable[[str], Awaitable[str]]) -> None:
    with MockBroker() as broker:
        for topic in Topic:
            broker.create_topic(topic, 4)
        settings = ServiceSettings(
            kafka=broker.bootstrap,
            postgres=await database("packager"),
            kafka_session_timeout_ms=2000,
            kafka_heartbeat_ms=400,
            kafka_fetch_wait_ms=20,
            broker_id="one",
        )
        run = a_run()
        async with open_bus("packager", Stage.PACKAGE, settings) as bus:
            async with running(bus.serve(ROUTES)):
                await send(broker.bootstrap, an_event(PhotosValidated, **run))
                event, headers = await receive(broker.bootstrap, Topic.DATASETS, DatasetSealed)
            assert await bus.pool.fetchval("select passed_as from baton") == DatasetSealed.ce_type
    assert event.model_dump()["run_id"] == run["run_id"]
    assert headers["ce_source"] == b"lifemask/packager"
    assert headers["ce_keyid"] == test_keys().signers["packager"].keyid.encode()
    assert headers["traceparent"]


async def send(bootstrap: str, event: Event) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        record = signed(event)
        await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))


async def receive(bootstrap: str, topic: str, kind: type[Event]) -> tuple[Event, dict[str, bytes]]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        async for record in consumer:
            event = parse(record)
            if isinstance(event, kind):
                return event, dict(record.headers)
    raise AssertionError
