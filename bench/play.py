"""Ingest in this process, on a database of its own, and one run played through it: the API's calls and the facts that
come back from Kafka, without Kafka.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import httpx

from lifemask.bus.inbound import Raw
from lifemask.bus.migrate import migrate
from lifemask.bus.roles import role_of
from lifemask.bus.rows import Connection
from lifemask.bus.service import Service
from lifemask.contracts import (
    DatasetSealed,
    Event,
    ModelReady,
    PhotoJudged,
    PhotosValidated,
    RunEvent,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
    new_id,
)
from lifemask.ingest.settings import IngestSettings
from lifemask.ingest.wiring import ingest
from lifemask.testkit.keys import signed, write_keys
from lifemask.testkit.outbox import said

APP: Final = "bench"
PHOTOS: Final = 2
KEY: Final = "a-key-for-nobody-but-the-bench"
FACTS: Final[tuple[type[RunEvent], ...]] = (
    PhotosValidated,
    DatasetSealed,
    TrainingStarted,
    TrainingProgressed,
    TrainingSucceeded,
    ModelReady,
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Ingest, a client of its API, and its database as a superuser sees it."""

    service: Service
    http: httpx.AsyncClient
    admin: Connection

    async def run(self, user: str) -> str:
        """One run from the draft to the model; returns its id."""
        base = f"/v1/users/{user}/runs"
        answer = await self.http.post(base, json={"name": "Bench"}, headers={"Idempotency-Key": new_id()})
        place = f"{base}/{(run := str(answer.raise_for_status().json()['id']))}"
        files = [("photos", (f"{n}.jpg", photo(f"{run} {n}"))) for n in range(PHOTOS)]
        uploaded = (await self.http.post(f"{place}/photos", files=files)).raise_for_status()
        (await self.http.post(f"{place}/submit")).raise_for_status()
        owner = {"user_id": f"{APP}.{user}", "run_id": run}
        await self.hear(*await self._own())
        for result in uploaded.json()["results"]:
            await self.hear(PhotoJudged(**owner, photo_id=result["photo_id"], usable=True, verdicts=()))
        for kind in FACTS:
            await self.hear(
                kind.example().model_copy(update={**owner, **({"model_id": new_id()} if kind is ModelReady else {})})
            )
        for path in (place, base, f"{place}/photos", f"/v1/users/{user}", f"/v1/users/{user}/models"):
            (await self.http.get(path)).raise_for_status()
        return run

    async def hear(self, *events: Event) -> None:
        """Events come in and all that follows at once is done."""
        await self.service.intake.store([record(event) for event in events])
        await self.service.timer.step()
        while await self.service.worker.step():
            await self.service.timer.step()

    async def _own(self) -> list[Event]:
        """What ingest says of the run, as its relay would read it and Kafka bring it back."""
        rows = await self.admin.fetch("select id, key, headers, value from outbox where sent_at is null order by id")
        await self.admin.execute("update outbox set sent_at = now() where id = any($1)", [row["id"] for row in rows])
        return [said(row) for row in rows]


def photo(name: str, size: int = 10_000) -> bytes:
    """Bytes that begin as a JPEG does; another name, other bytes."""
    return b"\xff\xd8\xff\xe0" + hashlib.sha256(name.encode()).digest() + b"\0" * (size - 36)


def record(event: Event) -> Raw:
    packed = signed(event)
    return Raw(packed.topic, f"{packed.topic}/0/{new_id()}", packed.key, packed.value, list(packed.headers))


@asynccontextmanager
async def ingest_on(admin: str, database: str, folder: Path) -> AsyncIterator[Stage]:
    """Ingest on a new database of the server that `admin` names; photos in `folder`."""
    connection = await asyncpg.connect(admin)
    await connection.execute(f"create database {database}")
    await connection.close()
    dsn = admin.replace("/postgres?", f"/{database}?", 1)
    await migrate(dsn, ["ingest"])
    (folder / "objects").mkdir(parents=True)
    (folder / "apps.json").write_text(json.dumps({APP: {"key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}}))
    settings = IngestSettings.model_validate(
        {
            "postgres": dsn.replace("postgres@", f"{role_of('ingest')}@", 1),
            "objects": (folder / "objects").as_uri(),
            "keys": write_keys(folder / "keys"),
            "apps": folder / "apps.json",
            "photos_min": PHOTOS,
            "pool": 3,
        }
    )
    superuser = await asyncpg.connect(dsn, server_settings={"search_path": "ingest"})
    try:
        async with ingest(settings) as service, _client(service) as http:
            yield Stage(service, http, superuser)
    finally:
        await superuser.close()


def _client(service: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app),
        base_url="http://ingest.bench",
        headers={"Authorization": f"Bearer {KEY}"},
    )
