"""The event log read from a broker on the wire."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from lifemask.cli.embedded.broker import MockBroker
from lifemask.cli.eventlog import EventLog, Logged
from lifemask.cli.stops import Missing
from lifemask.contracts import DatasetSealed, Event, RunAccepted, Topic, new_id, pack

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def broker() -> Iterator[str]:
    with MockBroker() as running:
        for topic in Topic:
            running.create_topic(topic.named("test."), 2)
        yield running.bootstrap


async def test_a_users_records_come_in_order_of_time(broker: str) -> None:
    later = DatasetSealed.example().model_copy(update={"user_id": "demo.me"})
    earlier = RunAccepted.example().model_copy(update={"user_id": "demo.me"})
    other = RunAccepted.example().model_copy(update={"user_id": "demo.you"})
    await _publish(broker, (later, AT + timedelta(seconds=1)), (earlier, AT), (other, AT))
    found = await EventLog(broker, "test.").read(lambda event: event.user_id == "demo.me")
    assert [event.type for event in found] == [RunAccepted.ce_type, DatasetSealed.ce_type]
    assert found[0].facts["photos"] == earlier.photos
    assert found[0].run_id == earlier.run_id
    assert found[0].as_fields()["time"] == "2026-01-01T00:00:00+00:00"


async def test_what_is_no_event_of_ours_is_shown_as_it_is(broker: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    await producer.send_and_wait("test.lifemask.runs", b"\xff\xfe", key=b"demo.me", headers=[("ce_id", b"\xff")])
    await producer.stop()
    [found] = await EventLog(broker, "test.").read()
    assert (found.short_type, found.facts) == ("(no CloudEvent)", {"bytes": 2})


async def test_a_listener_hears_what_comes(broker: str) -> None:
    heard = list[Logged]()

    async def listen() -> None:
        async with aclosing(EventLog(broker, "test.").follow(from_beginning=True)) as events:
            async for event in events:
                heard.append(event)
                if len(heard) == 2:
                    return

    listening = asyncio.create_task(listen())
    for _ in range(2):
        await _publish(broker, (RunAccepted.example(), AT))
    await asyncio.wait_for(listening, 20)
    assert {event.type for event in heard} == {RunAccepted.ce_type}


async def test_no_kafka_and_no_topics_are_told_apart(broker: str) -> None:
    with pytest.raises(Missing, match="none of our topics"):
        await EventLog(broker, "other.").read()
    with pytest.raises(Missing, match="No Kafka answers"):
        await EventLog("127.0.0.1:9", "test.").read()


async def _publish(broker: str, *events: tuple[Event, datetime]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    try:
        for event, at in events:
            record = pack(event, id=new_id(), source="test", time=at, prefix="test.")
            await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))
    finally:
        await producer.stop()
