"""`migrate` on a real PostgreSQL and on a broker on the wire."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from tests.cli.conftest import Call

from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import Topic
from lifemask.contracts.topics import PROBES


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as running:
        yield running


def test_the_database_is_migrated_and_may_be_again(
    lifemask: Call, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFEMASK_POSTGRES", postgres)
    for _ in range(2):
        assert lifemask("migrate", "--no-topics") == (0, [{"event": "migrated", "what": "database"}])
    schemas = asyncio.run(_column(postgres, "select schema_name from information_schema.schemata"))
    assert {"ingest", "image_validator", "packager", "trainer", "publisher", "notifier"} <= set(schemas)


def test_no_database_is_a_missing_service(lifemask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFEMASK_POSTGRES", "postgresql://nobody@127.0.0.1:9/none")
    code, lines = lifemask("migrate", "--no-topics")
    assert code == 3
    assert "LIFEMASK_POSTGRES" in lines[-1]["next_step"]


def test_topics_that_are_there_are_left_alone(
    lifemask: Call, broker: MockBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for topic in Topic:
        broker.create_topic(topic.named("mine."), 1)
    broker.create_topic(f"mine.{PROBES}", 1)
    monkeypatch.setenv("LIFEMASK_KAFKA", broker.bootstrap)
    monkeypatch.setenv("LIFEMASK_TOPIC_PREFIX", "mine.")
    monkeypatch.setenv("LIFEMASK_KAFKA_PARTITIONS", "1")
    code, lines = lifemask("migrate", "--no-database")
    assert (code, lines[0]["made"], lines[0]["differing"]) == (0, [], {})


def test_topics_of_another_shape_are_named(lifemask: Call, broker: MockBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    for topic in Topic:
        broker.create_topic(topic, 2 if topic is Topic.RUNS else 4)
    broker.create_topic(PROBES, 1)
    monkeypatch.setenv("LIFEMASK_KAFKA", broker.bootstrap)
    code, lines = lifemask("migrate", "--no-database", "--partitions", "4", "--replicas", "1")
    assert code == 1
    assert lines[0]["differing"] == {"lifemask.runs": ["partitions 2, not 4"]}
    assert "lifemask.runs: partitions 2, not 4" in lines[1]["what"]


def test_no_broker_is_a_missing_service(lifemask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFEMASK_KAFKA", "127.0.0.1:9")
    code, lines = lifemask("migrate", "--no-database")
    assert code == 3
    assert "127.0.0.1:9 does not answer" in lines[-1]["what"]


async def _column(dsn: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()
