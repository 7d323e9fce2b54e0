"""The embedded parts and the sandbox, in order."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.doctor.house import House, house_in_order

from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import Topic
from lifemask.contracts.topics import PROBES


@pytest.fixture
async def house(postgres: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in_order(postgres, tmp_path) as house:
        yield house


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    """With all topics but the notifications'."""
    with MockBroker() as broker:
        for topic in Topic:
            if topic is not Topic.NOTIFICATIONS:
                broker.create_topic(topic.value, 2)
        broker.create_topic(PROBES, 1)
        yield broker
