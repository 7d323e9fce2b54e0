"""A thousand users who upload at once, through each door, and how much memory ingest takes for it.

`python -m bench.crowd`. Ingest as a process, with the embedded Kafka and PostgreSQL and a store in a folder. Each user
has a connection of its own, all at the same time, and calls again when told that all places are taken; a run has one
photo of 20 kB and is submitted. Clients and servers share the machine. Memory is the process's peak (VmHWM), set back
before each door; the floor is the peak with a tenth of the users, just before.
"""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import uvicorn
from aiokafka import AIOKafkaProducer
from bench.machine import embedded, keep_only
from bench.play import photo
from bench.row import Row, measure

from lifemask.cli.house import app_signer
from lifemask.cli.machine import Machine
from lifemask.cli.ports import choose_ports
from lifemask.contracts import PhotosUploaded, RunAccepted, RunRequest, new_id, pack, user_id
from lifemask.contracts.signing import sign
from lifemask.objects import keys, open_objects

DOORS: Final = ("http", "targets", "urls", "kafka")
USERS: Final = 1000
TENTH: Final = USERS // 10
PHOTOS: Final = 1
SIZE: Final = 20_000
PATIENCE: Final = 110.0
BUSY: Final = frozenset({429, 503})
AGAIN: Final = 0.2
"""Seconds until a call that found no place is made again."""


@dataclass
class Crowd:
    """Users of one app, and how often they were told to come again."""

    machine: Machine
    http: httpx.AsyncClient
    files: str
    """Base URL of a server that has everybody's photos."""
    told_again: int = 0
    cut_off: int = 0

    async def by_http(self, user: str) -> None:
        run = await self._draft(user)
        files = [("photos", (f"{n}.jpg", photo(f"{user} {n}", SIZE))) for n in range(PHOTOS)]
        await self._call("POST", f"{run}/photos", files=files)
        await self._call("POST", f"{run}/submit")

    async def by_target(self, user: str) -> None:
        run = await self._draft(user)
        contents = [photo(f"{user} {n}", SIZE) for n in range(PHOTOS)]
        answer = await self._call("POST", f"{run}/uploads", json={"files": [_announced(each) for each in contents]})
        for target, content in zip(answer["targets"], contents, strict=True):
            await self._call(target["method"], target["url"], content=content, headers=target["headers"])
        await self._call("POST", f"{run}/submit")

    async def by_url(self, user: str) -> None:
        run = await self._draft(user)
        await self._call("POST", f"{run}/photos", json={"urls": [f"{self.files}/{user}/{n}" for n in range(PHOTOS)]})
        await self._call("POST", f"{run}/submit")

    async def _draft(self, user: str) -> str:
        runs = f"/v1/users/{user}/runs"
        answer = await self._call("POST", runs, json={"name": "Bench"}, headers={"Idempotency-Key": new_id()})
        return f"{runs}/{answer['id']}"

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        while True:
            try:
                answer = await self.http.request(method, path, **options)
            except httpx.TransportError:  # a kept connection that the server closed at that moment
                self.cut_off += 1
            else:
                if answer.status_code not in BUSY:
                    answer.raise_for_status()
                    return answer.json() if answer.content else None
                self.told_again += 1
            await asyncio.sleep(AGAIN)

    async def by_kafka(self, users: list[str]) -> Callable[[], Awaitable[None]]:
        """Puts everything; what is returned announces it all."""
        events = [await self._put(user) for user in users]

        async def announce() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.machine.kafka) as producer:
                signer, now = app_signer(self.machine.data), datetime.now(UTC)
                packed = [
                    sign(pack(each, id=each.run_id, source=f"app/{self.machine.app}", time=now), signer)
                    for each in events
                ]
                await asyncio.gather(
                    *[
                        await producer.send(one.topic, one.value, key=one.key, headers=list(one.headers))
                        for one in packed
                    ]
                )

        return announce

    async def _put(self, user: str) -> PhotosUploaded:
        assert self.machine.app is not None
        run, names = new_id(), tuple(f"{n}.jpg" for n in range(PHOTOS))
        async with open_objects(self.machine.objects) as objects:
            for n, name in enumerate(names):
                await objects.put(keys.incoming(self.machine.app, user, run, name), photo(f"{user} {n}", SIZE))
        owner, request = user_id(self.machine.app, user), RunRequest(name="Bench")
        return PhotosUploaded(user_id=owner, run_id=run, upload=run, objects=names, request=request)


def _announced(content: bytes) -> dict[str, object]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"name": "a.jpg", "bytes": len(content), "sha256": sha256, "content_type": "image/jpeg"}


async def through(crowd: Crowd, door: str, count: int) -> tuple[float, float]:
    """So many users at once through a door: seconds until all their runs are accepted, and ingest's peak in MB."""
    users = [f"{door}{count}-{number}" for number in range(count)]
    enter = await crowd.by_kafka(users) if door == "kafka" else None
    pid = crowd.machine.supervisor.pids["ingest"]
    database = await asyncpg.connect(crowd.machine.postgres, server_settings={"search_path": "ingest"})
    before = await database.fetchval(_ACCEPTED, RunAccepted.ce_type)
    await asyncio.to_thread(Path(f"/proc/{pid}/clear_refs").write_text, "5")
    began = time.perf_counter()
    if enter is not None:
        await enter()
    else:
        walk = {"http": crowd.by_http, "targets": crowd.by_target, "urls": crowd.by_url}[door]
        await asyncio.gather(*map(walk, users))
    async with asyncio.timeout(PATIENCE):
        while await database.fetchval(_ACCEPTED, RunAccepted.ce_type) < before + count:  # noqa: ASYNC110  rows
            await asyncio.sleep(0.1)
    seconds = time.perf_counter() - began
    await database.close()
    if crowd.machine.supervisor.pids["ingest"] != pid:
        raise RuntimeError("ingest was started again")
    return seconds, _peak(pid)


def _peak(pid: int) -> float:
    (found,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(found.split()[1]) / 1000


_ACCEPTED: Final = "select count(*) from baton where passed_as = $1"


async def main() -> list[Row]:
    """For each door the peak with everybody, beside that with a tenth of them."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        port = choose_ports(["files"], home)["files"]
        settings = {"LIFEMASK_PHOTOS_MIN": str(PHOTOS), "LIFEMASK_URL_DOOR_ALLOW": f'["127.0.0.1:{port}"]'}
        async with _photos_of_everybody(port) as files, embedded(home / "data", None, **settings) as machine:
            await keep_only(machine, "postgres", "kafka", "ingest")
            headers, limits = {"Authorization": f"Bearer {machine.app_key}"}, httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(
                base_url=machine.url, headers=headers, limits=limits, timeout=PATIENCE, trust_env=False
            ) as http:
                for door in DOORS:
                    _, tenth = await through(Crowd(machine, http, files), door, TENTH)
                    crowd = Crowd(machine, http, files)
                    seconds, peak = await through(crowd, door, USERS)
                    facts = {"seconds": round(seconds, 1), "runs_per_second": round(USERS / seconds)}
                    facts |= {"told_to_come_again": crowd.told_again, "cut_off": crowd.cut_off}
                    rows.append(_row(door, peak, tenth, facts))
    return rows


def _row(door: str, peak: float, tenth: float, facts: dict[str, float]) -> Row:
    return Row(
        what=f"ingest's memory, {USERS:,} users at once, {door}",
        measured=round(peak),
        unit="MB",
        floor=round(tenth),
        against=f"{TENTH} users at once",
        facts=facts,
    )


@asynccontextmanager
async def _photos_of_everybody(port: int) -> AsyncIterator[str]:
    """A server that has a photo at every path."""

    async def app(scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        body = photo(scope["path"], SIZE)
        headers = [(b"content-type", b"image/jpeg"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(app, port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # noqa: SLF001  `serve` would take over the signals
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


if __name__ == "__main__":
    measure(main)
