"""Three Kafka nodes carry whole runs; the one that leads is killed in the middle of them."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from tests.chaos.faults.house import House, house
from tests.chaos.faults.people import ended, street
from tests.real.world import until
from tests.system.reading import read_log
from tools.kafka import Kafka

from lifemask.cli.plan import SERVICES
from lifemask.contracts import Topic

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


@pytest.fixture
def home(kafka: Kafka, prefix: str) -> Iterator[House]:
    parts = {"LIFEMASK_KAFKA": kafka.bootstrap, "LIFEMASK_TOPIC_PREFIX": prefix}
    parts |= {"LIFEMASK_KAFKA_SESSION_TIMEOUT_MS": "6000", "LIFEMASK_WATCHDOG": "20"}
    with (
        tempfile.TemporaryDirectory(prefix="lm-leader-", ignore_cleanup_errors=True) as name,
        house(Path(name).resolve(), parts) as home,
    ):
        yield home


async def test_no_acknowledged_event_is_lost_with_the_leader(home: House, kafka: Kafka, prefix: str) -> None:
    async with street(home) as there:
        runs = await there.busy(4)
        before = await leaders(kafka, prefix)
        node = max(set(before.values()), key=list(before.values()).count)
        acknowledged = await sent(home)
        kafka.kill(node)
        try:
            await until(lambda: moved(kafka, prefix, node))
            runs |= await there.busy(2)
            await asyncio.gather(*(ended(person, run) for run, person in runs.items()))
        finally:
            await kafka.bring_back(node)
        acknowledged |= await sent(home)
        missing = acknowledged

        async def all_there() -> bool:
            nonlocal missing
            missing = acknowledged - await logged(kafka, prefix)
            return not missing

        try:
            await until(all_there, 30)  # who leads anew may not know at once how far all others have it
        except TimeoutError:
            raise AssertionError(f"{len(missing)} of {len(acknowledged)} acknowledged events are lost") from None
        await there.all_ready(runs)


async def leaders(kafka: Kafka, prefix: str) -> dict[tuple[str, int], int]:
    """Of each partition of our topics, the node that leads it; -1 for none."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap.split(","))
    await admin.start()
    try:
        described = await admin.describe_topics([topic.named(prefix) for topic in Topic])
    finally:
        await admin.close()
    return {(topic["topic"], each["partition"]): each["leader"] for topic in described for each in topic["partitions"]}


async def moved(kafka: Kafka, prefix: str, node: int) -> bool:
    """Whether others lead now, as far as one of the others says."""
    try:
        return not {node, -1} & set((await leaders(kafka, prefix)).values())
    except (KafkaError, OSError):
        return False


async def logged(kafka: Kafka, prefix: str) -> set[str]:
    """Ids of the events that the log has."""
    return {dict(one.headers)["ce_id"].decode() for one in await read_log(kafka.bootstrap, prefix)}


async def sent(home: House) -> set[str]:
    """Ids of the events that Kafka has acknowledged."""
    rows = await asyncpg.connect(home.dsn)
    ids = set[str]()
    try:
        for service in SERVICES:
            query = f"select msg_id from {service}.outbox where sent_at is not null"
            ids |= {row["msg_id"] for row in await rows.fetch(query)}
    finally:
        await rows.close()
    return ids
