"""Three Kafka nodes for the whole session, and topics of its own for every test."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.real.world import NODES, PARTITIONS
from tools.kafka import Kafka, kafka_cluster

from lifemask.cli.topics import Wanted, prepare_topics
from lifemask.contracts import new_id


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A cluster of three nodes; a test that kills one brings it back."""
    stack = AsyncExitStack()
    with tempfile.TemporaryDirectory(prefix="lm-kafka-") as folder, asyncio.Runner() as runner:
        cluster = runner.run(stack.enter_async_context(kafka_cluster(Path(folder), NODES)))
        yield cluster
        for node in range(1, NODES + 1):
            cluster.kill(node)  # its data is thrown away: an orderly end would only take longer
        runner.run(stack.aclose())


@pytest.fixture
def prefix() -> str:
    """A topic prefix of the test's own."""
    return f"t{new_id()[-12:]}."


@pytest.fixture
async def topics(kafka: Kafka, prefix: str) -> str:
    """All topics under the test's prefix, made as `lifemask migrate` makes them."""
    prepared = await prepare_topics(kafka.bootstrap.split(","), prefix, Wanted(PARTITIONS))
    assert not prepared.there
    return prefix
