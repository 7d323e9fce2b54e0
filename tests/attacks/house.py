"""A running system under attack: what an attacker can reach of it, and what shows whether the attack did anything."""

import base64
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer
from tests.one_machine.waiting import is_running
from tests.system.app import Person
from tests.system.conftest import Apps, a_client, a_person
from tests.system.outside import Outside
from tests.system.stack import Stack
from tests.system.waiting import eventually

from lifemask.cli.plan import SERVICES
from lifemask.contracts import Record
from lifemask.contracts.keyring import Keyring, key_for
from lifemask.contracts.signing import Signer
from lifemask.keys.files import KEYRING
from lifemask.keys.holders import HOLDERS
from lifemask.keys.making import OFFLINE, load
from lifemask.publisher.domain import model_of

BEFORE: Final = {"packager": "image_validator", "trainer": "packager", "publisher": "trainer"}
"""From whom a service gets a run."""
BUSY: Final = "busy provider"
"""Not a service: each paid call is answered with 429, so that every run's attempt lies in its row and waits."""
OPERATOR: Final = "operator@example.com"
YESTERDAY: Final = timedelta(days=1)


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
    ended: dict[str, dict[str, Signer]] = field(default_factory=dict)
    """Keys that the keyring knows and that are not good any more, by what became of them and by holder."""
    _open: dict[str, list[str]] = field(default_factory=dict)

    @property
    def objects(self) -> Path:
        return self.stack.data / "objects"

    @property
    def keys(self) -> Path:
        return self.stack.data / "keys"

    def person(self) -> Person:
        return a_person(self.http)

    def end_keys(self) -> None:
        """Puts a rotated and a stolen key of each service into the keyring, without changing the ones in use."""
        old, now = load(self.keys), datetime.now(UTC)
        fates = {"rotated out": {"until": now - YESTERDAY}, "stolen": {"compromised_at": now - YESTERDAY}}
        fresh = []
        for fate, limits in fates.items():
            self.ended[fate] = {name: Signer.generate(name) for name in HOLDERS}
            for name, may in HOLDERS.items():
                since = datetime(2020, 1, 1, tzinfo=UTC)
                signer = self.ended[fate][name]
                fresh.append(key_for(signer, steps=may.steps, events=may.events, since=since, **limits))
        root = Signer.load(self.keys / OFFLINE, "root")
        ring = Keyring.issue(old.version + 1, [*old.contents.keys, *fresh], root, now)
        (new := self.keys / "keyring.new").write_bytes(ring.data)
        new.replace(self.keys / KEYRING)

    def signer(self, service: str) -> Signer:
        """The key in use of a service: what a thief of it would have."""
        return Signer.load(self.keys / f"{service}.pem", service)

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
        if service == BUSY:
            await self.outside.fault("create_training", "answer", status=429, retry_after=1, times=None)
            yield
            await self.outside.mend()
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

    async def put_off(self, user: str, run: str, number: int = 1) -> None:
        """Waits until the provider has put the paid call of a run's attempt off."""
        query = """select statement is not null and state = 'intended' from trainer.attempt
                   where user_id = $1 and run_id = $2 and number = $3"""

        async def is_waiting() -> bool:
            return bool(await self.rows.fetchval(query, user, run, number))

        await eventually(is_waiting, 40)

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
            rows = await self.rows.fetch(f"select reason, type from {name}.security where user_id = $1", user)
            found += [(name, row["reason"], row["type"]) for row in rows]
        return found

    def log(self, service: str) -> list[dict[str, Any]]:
        """What a service has logged."""
        lines = (self.stack.data / "logs" / f"{service}.log").read_text().splitlines()
        return [json.loads(line[line.index("{") :]) for line in lines if "{" in line]

    async def trainings(self, user: str, run: str) -> list[dict[str, Any]]:
        """What the provider holds of a run: by the token of its archive's address, or by our own books."""
        query = "select training from trainer.provider_training where user_id = $1 and run_id = $2"
        booked = {row["training"] for row in await self.rows.fetch(query, user, run)}
        ledger = await self.outside.ledger()
        return [each for each in ledger["trainings"] if each["id"] in booked or _is_for(each["input_path"], user, run)]

    async def published(self, user: str, run: str) -> list[str]:
        """What of a run's model lies in the store or on the hub."""
        model = model_of(user, run)
        places = (self.objects / "users" / user / "models" / model).rglob("*")
        repos = (await self.outside.ledger())["repos"]
        return [str(path) for path in places if path.is_file()] + [
            repo["id"] for repo in repos if repo["deleted_at"] is None and repo["id"].endswith(model)
        ]


def _is_for(path: str, user: str, run: str) -> bool:
    """Whether an archive's address is that of the run: the token says it in plain text."""
    token = path.rpartition("/")[2].partition(".")[0]
    return f"users/{user}/runs/{run}/" in base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode(
        errors="replace"
    )


@asynccontextmanager
async def a_house(stack: Stack, apps: Apps, opened: Path | None) -> AsyncIterator[House]:
    """The connections to a system that is up."""
    async with (
        a_client(stack.url, apps.keys["acme"]) as http,
        httpx.AsyncClient(trust_env=False, timeout=10) as outer,
        asyncpg.create_pool(stack.dsn, min_size=1, max_size=8) as rows,
        AIOKafkaProducer(bootstrap_servers=stack.kafka, linger_ms=0) as producer,
    ):
        house = House(stack, apps, http, Outside(outer, stack.sandbox), rows, producer, opened)
        house.end_keys()
        yield house
