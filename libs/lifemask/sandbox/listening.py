"""Sockets and servers inside the running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette

from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.store import Store
from lifemask.sandbox.wire import HangUpProtocol

_PARTS = ("port", "hub_port", "files_port", "smtp_port")


@contextlib.contextmanager
def listen_all(settings: SandboxSettings, store: Store) -> Iterator[dict[str, socket.socket]]:
    """One listening socket per part. The ports are remembered, so that URLs handed out survive a restart."""
    remembered = store.load("ports.json", {})
    with contextlib.ExitStack() as stack:
        sockets = {}
        for part in _PARTS:
            sockets[part] = stack.enter_context(_bind(settings.host, getattr(settings, part), remembered.get(part, 0)))
        store.save("ports.json", {part: sock.getsockname()[1] for part, sock in sockets.items()})
        yield sockets


def listen(host: str, port: int = 0) -> socket.socket:
    """A listening socket. Without TCP_NODELAY, which asyncio forgets here, each answer would take 40 ms longer."""
    sock = socket.create_server((host, port), backlog=256)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _bind(host: str, wanted: int, remembered: int) -> socket.socket:
    choices = [wanted] if wanted else [remembered, 0]
    for port in choices:
        try:
            return listen(host, port)
        except OSError:
            if port == choices[-1]:
                raise
    raise AssertionError("unreachable: the last choice returns or raises")


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(*apps: tuple[Starlette, socket.socket]) -> AsyncIterator[None]:
    """Serves applications on listening sockets in the running loop, without touching signals or logging."""
    servers = [_Server(_config(app)) for app, _ in apps]
    tasks = [asyncio.create_task(server.serve([sock])) for server, (_, sock) in zip(servers, apps, strict=True)]
    try:
        yield
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HangUpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
    )
