"""The HTTP server of every service: bounded in connections, and in patience with those that say nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.ingest.world import until

from lifemask.runtime.serving import bounded

HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


@asynccontextmanager
async def serving(connections: int, seconds: float) -> AsyncIterator[int]:
    config = uvicorn.Config(
        Starlette(routes=[Route("/hello", hello)]),
        port=0,
        http=bounded(connections, seconds),
        log_config=None,
        lifespan="off",
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    config.load()
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def test_one_connection_too_many_is_told_to_come_again() -> None:
    async with serving(2, 60) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in held:
            writer.write(HELLO)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 2" in head
        assert json.loads(body)["code"] == "too_many_connections"
        writer.close()
        for _, other in held:
            other.close()


async def test_a_connection_that_does_not_say_what_it_wants_is_closed() -> None:
    async with serving(10, 0.1) as port:
        silent, one = await asyncio.open_connection("127.0.0.1", port)
        dripping, two = await asyncio.open_connection("127.0.0.1", port)
        two.write(HELLO)
        assert (await dripping.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        two.write(HELLO[:20])
        async with asyncio.timeout(5):
            assert await silent.read() == b""
            assert await dripping.read() == b""
        for writer in (one, two):
            writer.close()
