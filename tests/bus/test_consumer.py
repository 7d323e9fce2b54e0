"""Polls of Kafka: what comes is taken at once, and what cannot be explained ends the process."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException, KafkaConnectionError
from tests.bus.running import a_broker, settings_for

from lifemask.bus.consumer import Consumer
from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import Topic


async def a_consumer(broker: MockBroker) -> Consumer:
    async def store(_records: object) -> None: ...

    return Consumer("trial", [Topic.PHOTOS.value], settings_for(broker, "postgresql://x@127.0.0.1/x"), store)


async def test_a_poll_ends_with_records_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """FastStream sleeps after an empty poll, for as long as the poll took: whatever comes meanwhile would wait."""
    polls: list[dict[str, list[str]]] = [{}, {}, {"lifemask.photos/0": ["record"]}]

    async def getmany() -> dict[str, list[str]]:
        return polls.pop(0)

    with a_broker(1) as broker:
        consumer = await a_consumer(broker)
        inner: Any = SimpleNamespace(getmany=getmany, assignment=list)
        monkeypatch.setattr(consumer._subscriber, "consumer", inner)
        consumer._watch_polls()
        assert await inner.getmany() == {"lifemask.photos/0": ["record"]}


@pytest.mark.parametrize("problem", [ValueError("odd"), CorruptRecordException("Invalid CRC")])
async def test_a_poll_that_raises_what_no_broker_says_ends_the_process(problem: Exception) -> None:
    with a_broker(1) as broker:
        consumer = await a_consumer(broker)
        consumer._polled_badly(problem)
        with pytest.raises(type(problem)):
            consumer.failed.result()


async def test_an_error_of_kafka_ends_the_process_when_it_does_not_go_away() -> None:
    with a_broker(1) as broker:
        consumer = await a_consumer(broker)
        for _ in range(4):
            consumer._polled_badly(KafkaConnectionError("away"))
            assert not consumer.failed.done()
        consumer._polled_badly(KafkaConnectionError("away"))
        with pytest.raises(KafkaConnectionError):
            consumer.failed.result()
