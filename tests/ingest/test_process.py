"""Ingest as a process of its own, over a broker: from a draft to the end of its live stream."""

import asyncio
import json
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from tests.ingest.world import AUTH, KEY, about, parts, photo, until, write_apps

from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import ModelReady, Topic
from lifemask.testkit.keys import signed, write_keys

pytestmark = pytest.mark.slow


def free_port() -> int:
    """A port below those that systems give to outgoing connections, so that none takes it before the process does."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
            return int(probe.getsockname()[1])


@asynccontextmanager
async def process(**variables: str) -> AsyncIterator[None]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIFEMASK_", "REPLICATE_"))}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lifemask.ingest", env=kept | variables, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
        running.terminate()
        assert await asyncio.wait_for(running.wait(), 10) == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_a_run_from_draft_to_ready(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> None:
    port = free_port()
    write_apps(tmp_path / "apps.json", acme=KEY)
    with MockBroker() as broker:
        for topic in Topic:
            broker.create_topic(topic, 4)
        async with (
            process(
                LIFEMASK_KAFKA=broker.bootstrap,
                LIFEMASK_KAFKA_SESSION_TIMEOUT_MS="2000",
                LIFEMASK_KAFKA_HEARTBEAT_MS="400",
                LIFEMASK_KAFKA_FETCH_WAIT_MS="20",
                LIFEMASK_POSTGRES=await database("ingest"),
                LIFEMASK_OBJECTS=f"file://{tmp_path}/objects",
                LIFEMASK_KEYS=str(write_keys(tmp_path / "keys")),
                LIFEMASK_APPS=str(tmp_path / "apps.json"),
                LIFEMASK_PORT=str(port),
            ),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=AUTH, trust_env=False) as http,
        ):
            await until(lambda: _is_ready(http), 20)
            run = (await http.post("/v1/users/u1/runs", json={"name": "Me"})).json()["id"]
            path = f"/v1/users/u1/runs/{run}"
            files = parts(*((f"{n}.jpg", photo(n)) for n in range(12)))
            assert (await http.post(f"{path}/photos", files=files)).status_code == 200
            assert (await http.post(f"{path}/submit")).status_code == 202
            statuses = []
            async with http.stream("GET", f"{path}/events") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: "):
                        statuses.append(json.loads(line[6:])["run"]["status"])
                        if statuses[-1] == "validating":
                            await _publish(broker.bootstrap, run)
    assert list(dict.fromkeys(statuses)) == ["draft", "accepted", "validating", "ready"]


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def _publish(bootstrap: str, run: str) -> None:
    record = signed(about(run, ModelReady))
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))
