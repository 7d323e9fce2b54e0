"""Ingest as it runs, without a broker: real PostgreSQL, a store in a directory, the API called over HTTP."""

import asyncio
import base64
import gc
import hashlib
import inspect
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.bus.lab import record

from lifemask.bus.service import Service
from lifemask.contracts import Event, RunEvent
from lifemask.ingest.domain.signature import Signed
from lifemask.ingest.http.delay import Delay
from lifemask.ingest.settings import IngestSettings
from lifemask.ingest.wiring import ingest
from lifemask.objects.tokens import Tokens, load_secret
from lifemask.testkit.events import an_event
from lifemask.testkit.keys import signing_keys, write_keys
from lifemask.testkit.outbox import said

KEY = "acme-key-0123456789"
OTHER_KEY = "globex-key-0123456789"
AUTH = {"Authorization": f"Bearer {KEY}"}
OTHER_AUTH = {"Authorization": f"Bearer {OTHER_KEY}"}
SECRET = b"provider secret of 24 by"
JPEG = b"\xff\xd8\xff\xe0"

Json = dict[str, Any]


@dataclass
class World:
    """The service, a client with acme's key, and the folder of its store."""

    service: Service
    http: httpx.AsyncClient
    folder: Path
    tokens: Tokens
    settings: IngestSettings
    provider: "Provider"

    @property
    def objects(self) -> list[str]:
        """Keys in the store."""
        root = self.folder / "users"
        files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(str(path.relative_to(self.folder)) for path in files)

    async def draft(self, user: str = "u1", **wish: Any) -> str:
        """A new draft's id."""
        answer = await self.http.post(f"/v1/users/{user}/runs", json={"name": "My portrait", **wish})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def upload(self, run: str, *files: tuple[str, bytes], user: str = "u1") -> list[Json]:
        """Results of one upload."""
        answer = await self.http.post(f"/v1/users/{user}/runs/{run}/photos", files=parts(*files))
        assert answer.status_code == 200, answer.text
        return cast("list[Json]", answer.json()["results"])

    async def filled(self, photos: int = 12, user: str = "u1") -> tuple[str, list[str]]:
        """A draft with so many photos; its id and theirs."""
        run = await self.draft(user)
        results = await self.upload(run, *((f"{n}.jpg", photo(n)) for n in range(photos)), user=user)
        return run, [result["photo_id"] for result in results]

    async def accepted(self, user: str = "u1") -> str:
        """A submitted run, seen on the bus."""
        run, _ = await self.filled(user=user)
        assert (await self.http.post(f"/v1/users/{user}/runs/{run}/submit")).status_code == 202
        await self.echo()
        return run

    async def view(self, run: str, user: str = "u1") -> Json:
        """The run as shown."""
        answer = await self.http.get(f"/v1/users/{user}/runs/{run}")
        assert answer.status_code == 200, answer.text
        return cast("Json", answer.json())

    async def receive(self, *events: Event) -> None:
        """Events come from Kafka and are worked on."""
        await self.service.intake.store([record(event) for event in events])
        await self.settle()

    async def settle(self) -> None:
        """Due reminders move, lanes work, until nothing is ready."""
        await self.service.timer.step()
        while await self.service.worker.step():
            await self.service.timer.step()

    async def echo(self) -> None:
        """Ingest's own events come back from Kafka."""
        await self.receive(*await self.facts())

    async def time_passes(self) -> None:
        """Every reminder is due."""
        await self.service.bus.pool.execute("update reminder set due_at = now()")
        await self.settle()

    async def facts(self) -> list[Event]:
        """Events in the outbox, in order."""
        rows = await self.service.bus.pool.fetch("select headers, value from outbox order by id")
        return [said(row) for row in rows]

    async def kinds(self) -> list[str]:
        """Names of the events in the outbox."""
        return [type(fact).__name__ for fact in await self.facts()]

    async def rows(self, sql: str, user: str = "acme.u1") -> list[Json]:
        """Rows of one user."""
        async with self.service.bus.rows.reading(user) as connection:
            return [dict(record) for record in await connection.fetch(sql)]


def photo(number: int, size: int = 20_000) -> bytes:
    """Bytes that look like a JPEG; another number, other bytes."""
    return JPEG + number.to_bytes(4, "big") + b"\0" * (size - 8)


def parts(*files: tuple[str, bytes]) -> Sequence[tuple[str, tuple[str, bytes]]]:
    """Files as httpx sends them."""
    return [("photos", (name, content)) for name, content in files]


def about(run: str, kind: type[RunEvent], user: str = "acme.u1", **changes: object) -> RunEvent:
    """An event of this run."""
    return an_event(kind, user_id=user, run_id=run, **changes)


@dataclass
class Provider:
    """The provider's webhook secret, told over HTTP; `asked` counts the questions."""

    secret: bytes = SECRET
    asked: int = 0
    away: bool = False

    def app(self) -> Starlette:
        async def tell(request: Request) -> JSONResponse:
            self.asked += 1
            if self.away or request.headers.get("authorization") != "Bearer provider-token":
                return JSONResponse({"detail": "no"}, 503)
            return JSONResponse({"key": "whsec_" + base64.b64encode(self.secret).decode()})

        return Starlette(routes=[Route("/v1/webhooks/default/secret", tell)])


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The app on a free port of this machine; its base URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server._serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task
        listener.close()


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10) -> None:
    """Waits for a condition that nobody tells us about."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found is True or (inspect.isawaitable(found) and await found):
                return
            await asyncio.sleep(0.01)


def write_apps(path: Path, *, keyless: Sequence[str] = (), **keys: str) -> None:
    """An apps file; its change is seen whatever the clock's steps are. Apps named `keyless` sign no events."""
    apps = {
        name: {
            "key_sha256": hashlib.sha256(key.encode()).hexdigest(),
            "signing_keys": [] if name in keyless else signing_keys(name),
        }
        for name, key in keys.items()
    }
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(apps))
    draft.replace(path)


class CountedDelay(Delay):
    """Counts the answers that would be held back, and what of the given type lives while one is."""

    def __init__(self) -> None:
        super().__init__(0)
        self.waits = 0
        self.largest = 0
        """Bytes of the largest body that anybody still holds at that moment."""

    async def wait(self) -> None:
        self.waits += 1
        held = [each for each in gc.get_objects() if type(each) is Signed]
        self.largest = max([self.largest, *(len(each.body) for each in held)])


def counted(world: World) -> tuple[CountedDelay, CountedDelay]:
    """The delays of callers that are known, and of the others."""
    state = world.service.app.state
    state.delay_of_known, state.delay_of_unknown = CountedDelay(), CountedDelay()
    return state.delay_of_known, state.delay_of_unknown


@asynccontextmanager
async def a_world(dsn: str, folder: Path, **settings: Any) -> AsyncIterator[World]:
    """Ingest on this database and folder."""
    write_apps(folder / "apps.json", acme=KEY, globex=OTHER_KEY)
    (folder / "objects").mkdir(exist_ok=True)
    if not (folder / "keys").exists():  # a second ingest on the same folder
        write_keys(folder / "keys")
    provider = Provider()
    async with served(provider.app()) as provider_url:
        chosen = IngestSettings.model_validate(
            {
                "postgres": dsn,
                "objects": f"file://{folder}/objects",
                "keys": folder / "keys",
                "apps": folder / "apps.json",
                "public_url": "http://ingest.test",
                "REPLICATE_API_TOKEN": "provider-token",
                "REPLICATE_BASE_URL": provider_url,
                "stream_poll": 0.02,
                "refusal_hold": 0,
                **settings,
            }
        )
        async with (
            ingest(chosen) as service,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(service.app, raise_app_exceptions=False),
                base_url="http://ingest.test",
                headers=AUTH,
            ) as http,
        ):
            tokens = Tokens(load_secret(chosen.keys))
            yield World(service, http, folder / "objects", tokens, chosen, provider)
