"""A house in order for `lifemask doctor` to look at, and its run as a process."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
from tests.real.system import plain_environment

from lifemask.bus.migrate import migrate
from lifemask.sandbox.server import SandboxUrls, running_sandbox
from lifemask.testkit.keys import write_keys

VERSION: Final = "e440909d3512c31646ee2e0c7d6f6f4923224863a6a10c494606e79fb5844497"
"""The trainer's, as the services ask for it by default."""


@dataclass(frozen=True)
class Database:
    """A database as its operator reaches it."""

    admin: str

    async def run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def value(self, query: str) -> Any:
        connection = await asyncpg.connect(self.admin)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()


@dataclass(frozen=True)
class House:
    """Everything that services need, as it should be; `told` is what they are started with."""

    database: Database
    sandbox: SandboxUrls
    folder: Path

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def told(self) -> dict[str, str]:
        """Kafka is left out; the address is one where nobody answers, since ingest does not run."""
        return plain_environment() | {
            "LIFEMASK_POSTGRES": self.database.admin,
            "LIFEMASK_OBJECTS": (self.folder / "objects").as_uri(),
            "LIFEMASK_KEYS": str(self.keys),
            "LIFEMASK_APPS": str(self.folder / "apps.json"),
            "LIFEMASK_PUBLIC_URL": "http://127.0.0.1:9",
            "REPLICATE_API_TOKEN": self.sandbox.replicate_token,
            "REPLICATE_BASE_URL": self.sandbox.replicate,
            "LIFEMASK_REPLICATE_DESTINATION": self.sandbox.destination,
            "LIFEMASK_REPLICATE_TRAINER_VERSION": VERSION,
            "HF_TOKEN": self.sandbox.hub_token,
            "HF_ENDPOINT": self.sandbox.hub,
            "LIFEMASK_HF_NAMESPACE": self.sandbox.hub_user,
            "LIFEMASK_SMTP": self.sandbox.smtp,
            "LIFEMASK_MAIL_FROM": "lifemask@example.com",
        }

    async def doctor(self, told: Mapping[str, str], *, patience: float = 20) -> "Visit":
        """`lifemask doctor --json` with this environment. More patience than usual: others may use the machine."""
        options = ("--json", "--patience", str(patience), "--data", str(self.folder / "none"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lifemask.cli.main", "doctor", *options),
            stdout=asyncio.subprocess.PIPE,
            env=dict(told),
        )
        out, _ = await process.communicate()
        *findings, last = [json.loads(line) for line in out.splitlines()]
        assert last["event"] == "doctor", last
        problems = [line for line in findings if not line["ok"]]
        assert last["problems"] == len(problems)
        return Visit(process.returncode or 0, problems, last["seconds"])


@dataclass(frozen=True)
class Visit:
    """What the doctor said."""

    code: int
    problems: list[dict[str, Any]]
    seconds: float

    @property
    def was_quick(self) -> bool:
        """All within 5 seconds; on a machine that others keep busy nobody can say."""
        return self.seconds < 5 or os.getloadavg()[0] > (os.cpu_count() or 1)


@asynccontextmanager
async def house_in_order(postgres: str, folder: Path) -> AsyncIterator[House]:
    write_keys(folder / "keys")
    (folder / "keys" / "url.key").write_bytes(bytes(32))
    (folder / "apps.json").write_text(json.dumps({"acme": {"key_sha256": "0" * 64}}))
    settings = {"destination": "lifemask/models", "trainer_version": VERSION}
    async with _migrated(postgres) as database, running_sandbox(folder / "sandbox", **settings) as sandbox:
        yield House(database, sandbox, folder)


@asynccontextmanager
async def _migrated(postgres: str) -> AsyncIterator[Database]:
    """A database of its own with the schemas of all services."""
    name = f"doctor_{uuid4().hex}"
    server = Database(postgres)
    await server.run(f"create database {name}")
    try:
        database = Database(f"postgresql://postgres@/{name}?{postgres.partition('?')[2]}")
        await migrate(database.admin)
        yield database
    finally:
        await server.run(f"drop database {name} with (force)")
