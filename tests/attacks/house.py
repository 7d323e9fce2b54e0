"""A running system under attack: what an attacker can reach of it, and what shows whether the attack did anything."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer
from tests.one_machine.waiting import is_running
from tests.system.app import Person
from tests.system.conftest import Apps, a_client, a_person
from tests.system.outside import Outside
from tests.system.stack import SERVICES, Stack
from tests.system.waiting import eventually

from lifemask.contracts import Record

BEFORE: Final = {"packager": "image_validator", "trainer": "packager", "publisher": "trainer"}
"""From whom a service gets a run."""


@dataclass
class House:
    """A system, as an app, as somebody who can write to bus, bucket and database, and as the world outside sees it."""

    stack: Stack
    apps: Apps
    http: httpx.AsyncClient
    outside: Outside
    rows: "asyncpg.Pool[asyncpg.Record]"
    producer: AIOKafkaProducer
    opened: Path | None
    """The file that says which gates are open; None when all are shut for good."""
    _open: dict[str, list[str]] = field(default_factory=dict)

    @property
    def objects(self) -> Path:
        return self.stack.data / "objects"

    @property
    def keys(self) -> Path:
        return self.stack.data / "keys"

    def person(self) -> Person:
        return a_person(self.http)

    def open(self, user: str, gates: tuple[str, ...]) -> None:
        """Takes gates away for one user."""
        assert self.opened is not None
        self._open.setdefault(user, []).extend(gates)
        fresh = self.opened.with_suffix(".new")
        fresh.write_text(json.dumps(self._open))
        fresh.replace(self.opened)

    @asynccontextmanager
    async def held(self, service: str | None) -> AsyncIterator[None]:
        """Stops a service's process for as long as the block lasts."""
        if service is None:
            yield
            return
        os.kill(pid := self.stack.pid_of(service), signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
        assert is_running(pid)

    async def passed(self, service: str, user: str, run: str) -> None:
        """Waits until a service has handed the run on."""
        query = f"select passed_at from {service}.baton where user_id = $1 and run_id = $2"

        async def has() -> bool:
            return await self.rows.fetchval(query, user, run) is not None

        await eventually(has, 40)

    async def send(self, *records: Record) -> None:
        """Writes to Kafka, as whoever may write there."""
        for record in records:
            await self.producer.send_and_wait(
                record.topic, record.value, key=record.key, headers=[(name, value) for name, value in record.headers]
            )

    async def refusals(self, user: str) -> list[tuple[str, str, str]]:
        """Service, reason and type of every refused record of a user."""
        found = []
        for name in SERVICES:
            for row in await self.rows.fetch(f"select reason, type from {name}.security where user_id = $1", user):
                found.append((name, row["reason"], row["type"]))
        return found

    async def inboxes(self, user: str) -> list[tuple[str, str]]:
        """Service and type of every record of a user that was let in from Kafka."""
        found = []
        for name in SERVICES:
            rows = await self.rows.fetch(f"select type from {name}.inbox where split_part(lane, '/', 1) = $1", user)
            found += [(name, row["type"]) for row in rows]
        return found

    def log(self, service: str) -> list[dict[str, Any]]:
        """What a service has logged."""
        lines = (self.stack.data / "logs" / f"{service}.log").read_text().splitlines()
        return [json.loads(line[line.index("{") :]) for line in lines if "{" in line]

    async def trainings(self, user: str) -> list[dict[str, Any]]:
        """What the provider holds of a user's runs, by the archive addresses of the attempts and what is booked."""
        rows = await self.rows.fetch("select archive_url from trainer.attempt where user_id = $1", user)
        known = await self.rows.fetch("select training from trainer.provider_training where user_id = $1", user)
        paths, ids = {httpx.URL(row["archive_url"]).path for row in rows}, {row["training"] for row in known}
        ledger = await self.outside.ledger()
        return [each for each in ledger["trainings"] if each["id"] in ids or each["input_path"] in paths]

    async def published(self, user: str) -> list[str]:
        """What of a user's models lies in the store or on the hub."""
        places = [str(path) for path in (self.objects / "users" / user / "models").rglob("*") if path.is_file()]
        models = await self.rows.fetch("select model_id from publisher.publication where user_id = $1", user)
        ids = {row["model_id"] for row in models}
        repos = (await self.outside.ledger())["repos"]
        return places + [
            repo["id"] for repo in repos if repo["deleted_at"] is None and any(repo["id"].endswith(id) for id in ids)
        ]


@asynccontextmanager
async def a_house(stack: Stack, apps: Apps, opened: Path | None) -> AsyncIterator[House]:
    """The connections to a system that is up."""
    async with (
        a_client(stack.url, apps.keys["acme"]) as http,
        httpx.AsyncClient(trust_env=False, timeout=10) as outer,
        asyncpg.create_pool(stack.dsn, min_size=1, max_size=8) as rows,
        AIOKafkaProducer(bootstrap_servers=stack.kafka, linger_ms=0) as producer,
    ):
        yield House(stack, apps, http, Outside(outer, stack.sandbox), rows, producer, opened)


async def all_of(*waited: Any) -> None:
    """Runs side by side; the first error comes after all have ended."""
    for result in await asyncio.gather(*waited, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
