import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lifemask.cli.parts import http_ready, service

IGNORES_THE_REQUEST = """
import signal, sys
from lifemask.runtime.watch import die_with_parent
signal.signal(signal.SIGTERM, signal.SIG_IGN)
die_with_parent(int(sys.argv[1]), grace=0.1)
print("ready", flush=True)
signal.alarm(60)
signal.pause()
"""


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    """Says the same to everybody and hangs up; yields its port."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]
    assert all(request.startswith(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:") for request in requests)


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 500 200\r\n\r\n", False),
        (b"nonsense\r\n", False),
        (b"", False),
    ],
)
async def test_a_service_is_ready_when_it_answers_200_and_not_before(answer: bytes, *, ready: bool) -> None:
    async with server(answer) as port:
        assert await http_ready(port)() is ready


async def test_a_service_that_does_not_listen_is_not_ready() -> None:
    async with server(b"") as port:
        pass
    assert await http_ready(port)() is False


def test_a_service_is_called_by_its_name_and_started_by_its_package() -> None:
    child = service("image_validator", 1234, env=dict, after=("kafka",))
    assert (child.name, child.argv[1:], child.after) == (
        "image-validator",
        ("-m", "lifemask.image_validator"),
        ("kafka",),
    )


def test_a_process_that_ignores_the_end_of_its_parent_is_ended_anyway() -> None:
    watched, held = os.pipe()
    command = [sys.executable, "-c", IGNORES_THE_REQUEST, str(watched)]
    with subprocess.Popen(command, pass_fds=(watched,), stdout=subprocess.PIPE, text=True) as process:
        os.close(watched)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.close(held)
        assert process.wait(timeout=10) == 1
        assert process.returncode != -signal.SIGTERM
