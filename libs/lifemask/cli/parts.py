"""The children that one machine is made of, as the supervisor wants them described."""

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from lifemask.cli.embedded.process import announced
from lifemask.cli.supervisor.child import Child, Environment

# Stop order: services first, then what they call, then what they remember with.
POSTGRES_GROUP, BROKER_GROUP, SANDBOX_GROUP, SERVICE_GROUP = range(4)

_HEALTH_PATIENCE = 2.0  # seconds for one answer


def embedded_postgres(data: Path, run: Path, *, fsync: bool = True, name: str = "postgres") -> Child:
    """PostgreSQL 18 in `data`; gives LIFEMASK_POSTGRES. `run` is a folder for its ready file."""
    ready_file = run / f"{name}.ready"
    options = ("--data", str(data), "--ready-file", str(ready_file), *(() if fsync else ("--no-fsync",)))
    return Child(
        name=name,
        argv=(sys.executable, "-m", "lifemask.cli.embedded.postgres", *options),
        before_start=lambda: ready_file.unlink(missing_ok=True),
        ready=file_ready(ready_file),
        gives=lambda: {"LIFEMASK_POSTGRES": ready_file.read_text()},
        stop_grace=4.0,
        group=POSTGRES_GROUP,
    )


def embedded_broker(topics: Mapping[str, int], run: Path, *, name: str = "kafka") -> Child:
    """The Kafka broker in memory, topics by their partitions; gives LIFEMASK_KAFKA and a new LIFEMASK_BROKER_ID."""
    ready_file = run / f"{name}.ready"
    listed = ",".join(f"{topic}:{partitions}" for topic, partitions in topics.items())
    return Child(
        name=name,
        argv=(
            sys.executable,
            "-m",
            "lifemask.cli.embedded.broker",
            "--topics",
            listed,
            "--ready-file",
            str(ready_file),
        ),
        before_start=lambda: ready_file.unlink(missing_ok=True),
        ready=file_ready(ready_file),
        gives=lambda: {"LIFEMASK_KAFKA": ready_file.read_text(), "LIFEMASK_BROKER_ID": uuid.uuid4().hex},
        stop_grace=1.0,
        group=BROKER_GROUP,
    )


def service(
    package: str,
    port: int,
    *,
    env: Callable[[Environment], Environment],
    after: tuple[str, ...],
    name: str | None = None,
) -> Child:
    """`python -m lifemask.<package>`, ready when http://127.0.0.1:<port>/readyz answers 200."""
    return Child(
        name=name or package.replace("_", "-"),
        argv=(sys.executable, "-m", f"lifemask.{package}"),
        env=env,
        ready=http_ready(port),
        after=after,
        stop_grace=4.0,
        group=SERVICE_GROUP,
    )


def file_ready(path: Path) -> Callable[[], Awaitable[bool]]:
    async def is_there() -> bool:
        return announced(path) is not None

    return is_there


def http_ready(port: int, path: str = "/readyz") -> Callable[[], Awaitable[bool]]:
    """Asks by a bare request: a client library would cost the supervisor more than all it does."""

    async def answers() -> bool:
        try:
            async with asyncio.timeout(_HEALTH_PATIENCE):
                return await _get_status(port, path) == b"200"
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False

    return answers


async def _get_status(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        status = (await reader.readuntil(b"\r\n")).split(b" ", 2)
        return status[1] if len(status) > 1 else b""
    finally:
        writer.close()
