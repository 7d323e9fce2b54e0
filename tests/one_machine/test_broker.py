from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from tests.one_machine.waiting import Part

from lifemask.cli.embedded.broker import MockBroker, parse_topics
from lifemask.cli.embedded.process import EmbeddedPartError

PRODUCE = 0
NOT_LEADER = 6


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as broker:
        broker.create_topic("runs", 4)
        yield broker


async def produce(bootstrap: str, count: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, retry_backoff_ms=20)
    try:
        await producer.start()
        for number in range(count):
            await producer.send_and_wait("runs", b"%d" % number, key=b"user-%d" % (number % 3))
    finally:
        await producer.stop()


async def consume(bootstrap: str, group: str, count: int) -> list[int]:
    """Reads `count` records of a group, commits them, leaves."""
    found: list[int] = []
    async with AIOKafkaConsumer(
        "runs",
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
        session_timeout_ms=2000,  # a group waits this long for a member that has left
        heartbeat_interval_ms=400,
    ) as consumer:
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [int(record.value) for record in records]
        await consumer.commit()
    return found


async def test_a_group_reads_everything_once_and_goes_on_behind_its_commit(broker: MockBroker) -> None:
    await produce(broker.bootstrap, 9)
    first = await consume(broker.bootstrap, "g", 9)
    await produce(broker.bootstrap, 2)

    assert sorted(first) == list(range(9))
    assert sorted(await consume(broker.bootstrap, "g", 2)) == [0, 1]
    assert len(await consume(broker.bootstrap, "another", 11)) == 11


async def test_a_topic_has_the_partitions_it_was_made_with(broker: MockBroker) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        assert await producer.partitions_for("runs") == {0, 1, 2, 3}


async def test_refused_requests_are_repeated_by_the_client(broker: MockBroker) -> None:
    broker.push_request_errors(PRODUCE, [NOT_LEADER, NOT_LEADER])
    await produce(broker.bootstrap, 3)
    assert sorted(await consume(broker.bootstrap, "g", 3)) == [0, 1, 2]


async def test_a_broker_that_was_down_still_has_its_records(broker: MockBroker) -> None:
    await produce(broker.bootstrap, 3)
    broker.set_down()
    with pytest.raises(KafkaConnectionError):
        await produce(broker.bootstrap, 1)
    broker.set_up()
    assert sorted(await consume(broker.bootstrap, "g", 3)) == [0, 1, 2]


def test_the_process_serves_its_topics_and_ends_with_its_parent(tmp_path: Path) -> None:
    with Part(tmp_path / "ready", "lifemask.cli.embedded.broker", "--topics", "runs:2,photos:1") as part:
        assert part.address.startswith("127.0.0.1:")
        part.close_pipe()
        assert part.finish() == (0, "")


def test_a_broker_that_was_not_started_says_so() -> None:
    with pytest.raises(EmbeddedPartError, match="call start"):
        MockBroker().create_topic("runs", 1)


@pytest.mark.parametrize("text", ["", "runs", "runs:", "runs:0", "runs:x", ":4", "runs:1,"])
def test_topics_need_a_name_and_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="name:partitions"):
        parse_topics(text)


def test_topics_are_read_in_order() -> None:
    assert parse_topics("lifemask.runs:4,a:b:1") == (("lifemask.runs", 4), ("a:b", 1))
