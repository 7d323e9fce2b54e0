"""A TCP proxy whose faults are switched while it runs: latency, bandwidth, reset, silence, a lost reply, a closed port.

It runs in a thread of its own, so that a test may wait for something else meanwhile; every method may be called from
any thread. What struck is counted in `hits`: a fault that hit nothing proves nothing.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

T = TypeVar("T")
Match = Callable[[bytes], bool]
"""Asked with the newest bytes of a request, and a few of those before them."""

_PIECE: Final = 64 * 1024
_TAIL: Final = 64
"""Bytes kept of a request, so that what is looked for is found across two pieces."""
_RST: Final = struct.pack("ii", 1, 0)
"""SO_LINGER without patience: closing sends a reset."""
_HOST: Final = b"127.0.0.1"
_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to bytes of one direction. Seconds, bytes per second."""

    latency: float = 0.0
    """Before each piece."""
    rate: float = 0.0
    """0 is unlimited."""
    reset: bool = False
    """The connection that brings bytes is reset on both sides."""
    silent: bool = False
    """Half-open: the bytes vanish, and so does everything on that connection from then on, until a side closes it."""

    @property
    def name(self) -> str:
        names = {"latency": self.latency, "rate": self.rate, "reset": self.reset, "silent": self.silent}
        return next((name for name, value in names.items() if value), "")


NONE: Final = Fault()


class Proxy:
    """Listens on a port of its own on 127.0.0.1 and forwards to `target`: `host:port`, or the path of a Unix socket.

    `ports` are exchanged for others in what Kafka brokers say about where they are; then replies go through frame by
    frame.
    """

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop, ports: Mapping[int, int] | None = None) -> None:
        self.target = target
        self.requests = NONE
        self.replies = NONE
        self.hits: Counter[str] = Counter()
        self.port = 0
        self.ports = ports
        self._losing: Match | None = None
        self._silencing: Match | None = None
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def both(self, fault: Fault) -> None:
        """The same fault on the way there and on the way back."""
        self.requests = self.replies = fault

    def lose_reply(self, match: Match = bool) -> None:
        """The next request that matches arrives, is answered, and its answer never comes: a reset instead."""
        self._losing = match

    def silence(self, match: Match) -> None:
        """The next connection with a request that matches falls silent, that request included; others speak on."""
        self._silencing = match

    def silences(self, request: bytes) -> bool:
        """Whether the connection that brings these bytes is the one; once."""
        if self._silencing is None or not self._silencing(request):
            return False
        self._silencing = None
        self.hits["silent"] += 1
        return True

    def loses_reply_of(self, request: bytes) -> Match | None:
        """What these bytes match when their answer is to be lost; once."""
        if self._losing is None or not self._losing(request):
            return None
        found, self._losing = self._losing, None
        return found

    def mend(self) -> None:
        """No fault any more; the port is open. Connections that fell silent stay so."""
        self.both(NONE)
        self._losing = self._silencing = None
        self.open()

    def close(self) -> None:
        """The port is closed and every connection is reset."""
        self._call(self._close())

    def open(self) -> None:
        """The same port is open again."""
        self._call(self._listen())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_PIECE)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            for each in server.sockets:
                self._loop.remove_reader(each.fileno())
            await asyncio.sleep(0)  # what was accepted already needs its server once more: else it is never closed
            server.close()
        for connection in list(self._open):
            self.hits["down"] += 1
            connection.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits["connections"] += 1
        server = self._server
        try:
            far_reader, far_writer = await _dial(self.target)
        except BaseException as problem:
            _reset(writer)
            if isinstance(problem, OSError):
                return
            raise
        if server is None or server is not self._server:  # the port was closed meanwhile
            _reset(writer)
            _reset(far_writer)
            return
        connection = _Connection(self, _Pipe(reader, writer), _Pipe(far_reader, far_writer))
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)


@dataclass(frozen=True, slots=True, eq=False)
class _Pipe:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(eq=False)
class _Connection:
    """One client's connection with the one that was made for it."""

    proxy: Proxy
    near: _Pipe
    far: _Pipe
    silent: bool = False
    losing: Match | None = None
    _tail: bytes = field(default=b"", repr=False)

    async def run(self) -> None:
        pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for pipe in (self.near, self.far):
                pipe.writer.close()
            if self.losing:  # the client went away before the answer came
                self.proxy.lose_reply(self.losing)

    def reset(self) -> None:
        for pipe in (self.near, self.far):
            _reset(pipe.writer)

    async def _requests(self) -> None:
        while data := await self.near.reader.read(_PIECE):
            seen, self._tail = self._tail + data, data[-_TAIL:]
            self.silent = self.silent or self.proxy.silences(seen)
            self.losing = self.losing or self.proxy.loses_reply_of(seen)
            if not await self._pass(data, self.proxy.requests, self.far.writer):
                return

    async def _replies(self) -> None:
        read = self._frame if self.proxy.ports else self.far.reader.read
        while data := await read(_PIECE):
            if self.losing:
                self.losing = None
                self.proxy.hits["lost"] += 1
                self.reset()
                return
            if not await self._pass(data, self.proxy.replies, self.near.writer):
                return

    async def _pass(self, data: bytes, fault: Fault, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection still stands."""
        if fault.name:
            self.proxy.hits[fault.name] += 1
        if fault.reset:
            self.reset()
            return False
        if self.silent or fault.silent:
            self.silent = True
            return True
        if wait := fault.latency + (len(data) / fault.rate if fault.rate else 0):
            await asyncio.sleep(wait)
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            return True
        return False

    async def _frame(self, _most: int) -> bytes:
        """One whole answer of a broker, with the ports that our clients are to use."""
        try:
            head = await self.far.reader.readexactly(4)
            body = await self.far.reader.readexactly(int.from_bytes(head, "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        for theirs, ours in (self.proxy.ports or {}).items():
            body = body.replace(_HOST + theirs.to_bytes(4, "big"), _HOST + ours.to_bytes(4, "big"))
        return head + body


@contextmanager
def proxies(**targets: str) -> Iterator[dict[str, Proxy]]:
    """A proxy before each target, for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies")
    thread.start()
    made = {name: Proxy(target, loop) for name, target in targets.items()}
    try:
        for proxy in made.values():
            proxy.open()
        yield made
    finally:
        for proxy in made.values():
            proxy.close()
        asyncio.run_coroutine_threadsafe(_finish(), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def before_brokers(made: Mapping[str, Proxy]) -> str:
    """Makes these proxies the only way to a Kafka cluster; returns the bootstrap string."""
    ports = {int(proxy.target.rpartition(":")[2]): proxy.port for proxy in made.values()}
    for proxy in made.values():
        proxy.ports = ports
    return ",".join(proxy.address for proxy in made.values())


def holds(text: bytes) -> Match:
    """A request with these bytes in it."""
    return lambda request: text in request


COMMIT: Final = holds(b"Q\x00\x00\x00\x0cCOMMIT;\x00")
"""PostgreSQL's simple query message, as asyncpg ends a transaction."""


async def _finish() -> None:
    """Ends what is left of the connections."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _dial(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("/"):
        return await asyncio.open_unix_connection(target, limit=_PIECE)
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port), limit=_PIECE)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()
