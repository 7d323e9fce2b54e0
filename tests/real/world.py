"""Two processes of one service on real Kafka, what is sent to them, and what must come out."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from tests.bus.lab import record

from lifemask.bus.inbound import Raw
from lifemask.cli.parts import http_ready
from lifemask.cli.ports import choose_ports
from lifemask.cli.supervisor import Child, Console, Supervisor, supervised
from lifemask.contracts import DatasetSealed, PhotosValidated, Topic, new_id
from lifemask.contracts.envelope import read_envelope
from lifemask.testkit.events import an_event

NODES = 3
PARTITIONS = 6
PATIENCE = 90.0
"""Seconds for what includes a broker's death: its session (6 s), a group's rebalance, a process that starts again."""
USERS = tuple(f"acme.u{number}" for number in range(20))
SERVICE = "packager"

Header = tuple[str, bytes | None]


async def until(condition: Callable[[], Awaitable[object]], seconds: float = PATIENCE) -> None:
    """Waits until the condition is true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  the condition belongs to another process
            await asyncio.sleep(0.05)


@dataclass
class World:
    """The service's processes "one" and "two", started again when they end, and its database."""

    bootstrap: str
    prefix: str
    database: asyncpg.Connection
    supervisor: Supervisor
    sent: list[tuple[str, str]] = field(default_factory=list)
    """(user, run) in the order of sending."""

    @property
    def brokers(self) -> list[str]:
        return self.bootstrap.split(",")

    async def send(self, count: int, headers: Sequence[Header] = ()) -> None:
        """`count` runs of all users in turn; `headers` are added to each record."""
        runs = [(USERS[number % len(USERS)], new_id()) for number in range(count)]
        events = [an_event(PhotosValidated, user_id=user, run_id=run) for user, run in runs]
        await self.send_raw([record(event) for event in events], headers)
        self.sent += runs

    async def send_raw(self, records: Sequence[Raw], headers: Sequence[Header] = ()) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.brokers, enable_idempotence=True, acks="all") as producer:
            sent = [
                await producer.send(
                    self.prefix + one.topic, value=one.value, key=one.key, headers=[*one.headers, *headers]
                )
                for one in records
            ]
            await asyncio.gather(*sent)

    async def until_done(self) -> None:
        """Until all that was sent has been sealed and published."""
        await until(self._is_done)

    async def until_shared(self, members: int) -> None:
        """Until so many processes own partitions."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers)
        await admin.start()
        try:
            await until(lambda: _owners(admin, self.prefix + SERVICE, members))
        finally:
            await admin.close()

    async def sealed(self) -> list["Sealed"]:
        """What the service published, in order of each partition."""
        topic = Topic.DATASETS.named(self.prefix)
        async with AIOKafkaConsumer(topic, bootstrap_servers=self.brokers, auto_offset_reset="earliest") as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            records: list[ConsumerRecord] = []
            while len(records) < sum(ends.values()):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += batch
        mine = ("ce_type", DatasetSealed.ce_type.encode())
        return [Sealed.of(one.key, one.headers) for one in records if mine in one.headers]

    async def _is_done(self) -> bool:
        done = await self.database.fetchval("select count(*) from baton where passed_as = $1", DatasetSealed.ce_type)
        unsent = await self.database.fetchval("select count(*) from outbox where sent_at is null")
        return bool(done == len(self.sent) and unsent == 0)


@dataclass(frozen=True, slots=True)
class Sealed:
    """One published record."""

    user: str
    run: str
    id: str

    @classmethod
    def of(cls, key: bytes, headers: Sequence[tuple[str, bytes]]) -> "Sealed":
        envelope = read_envelope(headers)
        return cls(key.decode(), envelope.subject or "", envelope.id)


def assert_whole(sent: Sequence[tuple[str, str]], found: Sequence[Sealed]) -> None:
    """One fact for each run, in the order in which its user's runs were sent.

    The same fact may stand in the topic twice (a relay died between sending and noting it): receivers know its id.
    """
    facts = list({one.id: one for one in found}.values())  # the first of each id keeps its place
    assert len(facts) == len(sent)
    expected, came = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for user, run in sent:
        expected[user].append(run)
    for fact in facts:
        came[fact.user].append(fact.run)
    assert came == expected


@asynccontextmanager
async def two_processes(bootstrap: str, prefix: str, dsn: str, folder: Path) -> AsyncIterator[World]:
    """The world, both processes ready; everything ended after the block."""
    ports = choose_ports(("one", "two"), folder)
    common = {"LIFEMASK_KAFKA": bootstrap, "LIFEMASK_TOPIC_PREFIX": prefix, "LIFEMASK_POSTGRES": dsn}
    one, two = (_process(name, port, common) for name, port in ports.items())
    database = await asyncpg.connect(dsn, server_settings={"search_path": "packager"})
    console = Console(folder / "logs", None)
    try:
        async with supervised([one, two], console) as supervisor:
            yield World(bootstrap, prefix, database, supervisor)
    finally:
        console.close()
        await database.close()


def _process(name: str, port: int, common: dict[str, str]) -> Child:
    child = Child(name=name, argv=(sys.executable, "-m", "tests.real.instance"), ready=http_ready(port))
    return replace(child, env=lambda given: {**given, **common, "LIFEMASK_PORT": str(port)})


async def _owners(admin: AIOKafkaAdminClient, group: str, members: int) -> bool:
    try:
        answers = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:  # the first group of a cluster waits for its topic
        return False
    (_error, _group, state, _type, _protocol, found), *_ = answers[0].groups
    return state == "Stable" and len(found) == members and all(assignment for *_, assignment in found)
