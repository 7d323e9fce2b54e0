"""Batons a second through one service on a real Kafka, with one process of it and with two.

Everything is there, the outbox published through Kafka included. The clock runs from the first record in the inbox to
the last event that Kafka has taken. Client, Kafka, PostgreSQL and the service's processes share the machine: the CPU
seconds of each say what there was to share.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import psutil  # type: ignore[import-untyped]  # brings no types
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from bench.events import made_up
from bench.row import Row

from lifemask.bus.inbound import Raw
from lifemask.bus.migrate import migrate
from lifemask.bus.roles import role_of
from lifemask.bus.rows import Connection
from lifemask.cli.embedded.postgres import running_postgres
from lifemask.cli.parts import http_ready
from lifemask.cli.ports import choose_ports
from lifemask.cli.supervisor import Child, Console, Supervisor, supervised
from lifemask.cli.topics import Wanted, prepare_topics
from lifemask.contracts import PhotosValidated, new_id

GOAL = 1.8
PARTITIONS = 8
ROUNDS = 3
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Group:
    """So many processes of one service, its database, and what they cost."""

    brokers: list[str]
    prefix: str
    database: Connection
    supervisor: Supervisor

    async def handle(self, records: Sequence[Raw]) -> tuple[float, dict[str, float]]:
        """Batons a second, and CPU seconds by name while they passed."""
        await self.database.execute("truncate inbox, outbox, baton, lane")
        before = self._cpu()
        async with AIOKafkaProducer(bootstrap_servers=self.brokers, acks="all", linger_ms=5) as producer:
            sent = [
                await producer.send(self.prefix + one.topic, value=one.value, key=one.key, headers=list(one.headers))
                for one in records
            ]
            await asyncio.gather(*sent)
        async with asyncio.timeout(PATIENCE):
            while await self._published() < len(records):  # noqa: ASYNC110  rows of other processes
                await asyncio.sleep(0.1)
        seconds: float = await self.database.fetchval(
            """select extract(epoch from (select max(sent_at) from outbox) - (select min(got_at) from inbox))::float"""
        )
        return len(records) / seconds, {name: round(used - before[name], 2) for name, used in self._cpu().items()}

    async def _published(self) -> int:
        return int(await self.database.fetchval("select count(*) from outbox where sent_at is not null"))

    def _cpu(self) -> dict[str, float]:
        """Of the service's processes, of this one, and of everything on the machine."""
        own, all_ = psutil.Process(os.getpid()).cpu_times(), psutil.cpu_times()
        served = [psutil.Process(pid).cpu_times() for pid in self.supervisor.pids.values()]
        return {
            "service": sum(each.user + each.system for each in served),
            "client": own.user + own.system,
            "machine": all_.user + all_.system,
        }


@asynccontextmanager
async def a_group(kafka: str, dsn: str, processes: int, folder: Path) -> AsyncIterator[Group]:
    """The processes, which share the partitions of topics of their own."""
    prefix = f"b{new_id()[-8:]}."
    await prepare_topics(kafka.split(","), prefix, Wanted(PARTITIONS))
    ports = choose_ports([f"seal{number}" for number in range(processes)], folder)
    common = {"LIFEMASK_KAFKA": kafka, "LIFEMASK_TOPIC_PREFIX": prefix}
    common["LIFEMASK_POSTGRES"] = dsn.replace("postgres@", f"{role_of('packager')}@", 1)
    database = await asyncpg.connect(dsn, server_settings={"search_path": "packager"})
    console = Console(folder / "logs", None)
    try:
        async with supervised([_process(name, port, common) for name, port in ports.items()], console) as supervisor:
            await _until_shared(kafka.split(","), f"{prefix}packager", processes)
            yield Group(kafka.split(","), prefix, database, supervisor)
    finally:
        console.close()
        await database.close()


def _process(name: str, port: int, common: dict[str, str]) -> Child:
    child = Child(name=name, argv=(sys.executable, "-m", "bench.sealing"), ready=http_ready(port))
    return replace(child, env=lambda given: {**given, **common, "LIFEMASK_PORT": str(port)})


async def _until_shared(brokers: list[str], group: str, members: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _is_shared(admin, group, members):  # noqa: ASYNC110  Kafka tells by being asked
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def _is_shared(admin: AIOKafkaAdminClient, group: str, members: int) -> bool:
    try:
        answers = await admin.describe_consumer_groups([group])
    except KafkaError:  # the first group of a cluster waits for its topic
        return False
    (_error, _group, state, _type, _protocol, found), *_ = answers[0].groups
    return state == "Stable" and len(found) == members and all(assignment for *_, assignment in found)


async def measured(kafka: str) -> list[Row]:
    """The better of some rounds with each number of processes, in turn."""
    best: dict[int, tuple[float, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        async with running_postgres(Path(folder) / "pg") as dsn:
            await migrate(dsn, ["packager"])
            for processes in (1, 2):
                async with a_group(kafka, dsn, processes, Path(folder)) as group:
                    await group.handle(made_up(PhotosValidated)[:500])  # plans and caches are warm
                    found = [await group.handle(made_up(PhotosValidated)) for _ in range(ROUNDS)]
                    best[processes] = max(found, key=lambda each: each[0])
    return [
        Row(
            what="batons a second, two processes of one service, real Kafka",
            measured=round(best[2][0]),
            unit="1/s",
            floor=round(best[1][0]),
            against="one process",
            least=GOAL,
            facts={"cores": os.cpu_count(), "cpu_of_one": best[1][1], "cpu_of_two": best[2][1]},
        )
    ]
