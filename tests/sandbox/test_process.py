"""The sandbox as a process: killed and started again, watched, stopped, refused."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.world import Outside, provider_at, twelve_photos

from lifemask.sandbox.server import SandboxUrls

pytestmark = pytest.mark.slow

Start = Callable[..., Awaitable[tuple[Process, SandboxUrls]]]


async def spawn(*flags: str, environment: Mapping[str, str] | None = None, fds: tuple[int, ...] = ()) -> Process:
    variables = {name: value for name, value in os.environ.items() if name not in {"REPLICATE_API_TOKEN", "HF_TOKEN"}}
    command = (sys.executable, "-m", "lifemask.sandbox", *flags)
    return await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, pass_fds=fds, env=variables | dict(environment or {})
    )


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a process on the test's data directory and reads its line."""
    started: list[Process] = []

    async def begin(*flags: str, **more: Any) -> tuple[Process, SandboxUrls]:
        data = ("--data", str(tmp_path / "data"), "--destination", "lifemask/loras")
        process = await spawn(*data, *flags, **more)
        started.append(process)
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        return process, SandboxUrls(**json.loads(line))

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_training_goes_on_while_the_process_is_dead(start: Start, outside: Outside) -> None:
    process, urls = await start("--queue-seconds", "0", "--training-seconds", "1")
    async with provider_at(urls) as provider:
        made = await provider.create(outside.archive(twelve_photos()), webhook=outside.hook)
        assert await provider.images() == 12
    process.kill()
    await process.wait()

    _, again = await start("--queue-seconds", "0", "--training-seconds", "1")

    assert again == urls  # URLs that were handed out stay good
    async with provider_at(again) as provider:
        shown = await provider.ended(made.id)
        assert shown["status"] == "succeeded"
        assert (await provider.web.get(shown["output"]["weights"])).status_code == 200
        await provider.settled(made.id)
        assert len((await provider.ledger())["trainings"]) == 1
    told = [json.loads(body)["status"] for _, body in outside.hooks]
    assert "succeeded" in told


async def test_sigterm_ends_it_cleanly(start: Start, tmp_path: Path) -> None:
    process, urls = await start("--ready-file", str(tmp_path / "ready.json"))
    assert SandboxUrls(**json.loads((tmp_path / "ready.json").read_text())) == urls
    process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 5)
    assert (process.returncode, errors) == (0, b"")


async def test_it_ends_with_the_one_who_watches(start: Start) -> None:
    reading, writing = os.pipe()
    try:
        process, _ = await start("--watch-fd", str(reading), fds=(reading,))
    finally:
        os.close(reading)
        os.close(writing)
    assert await asyncio.wait_for(process.wait(), 5) == 0


@pytest.mark.parametrize(("name", "value"), [("REPLICATE_API_TOKEN", "r8_aRealToken"), ("HF_TOKEN", "hf_aRealToken")])
async def test_it_refuses_a_real_token(tmp_path: Path, name: str, value: str) -> None:
    process = await spawn("--data", str(tmp_path), environment={name: value})
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 3
    assert f"{name} holds a real token" in errors.decode()
    assert value not in errors.decode()


async def test_a_sandbox_token_is_welcome(start: Start) -> None:
    process, _ = await start(environment={"REPLICATE_API_TOKEN": "r8_sandbox_x", "HF_TOKEN": "hf_sandbox_y"})
    assert process.returncode is None


async def test_a_data_directory_has_one_owner(start: Start, tmp_path: Path) -> None:
    await start()
    second = await spawn("--data", str(tmp_path / "data"))
    _, errors = await asyncio.wait_for(second.communicate(), 20)
    assert second.returncode == 3
    assert "another sandbox uses" in errors.decode()


async def test_wrong_usage_is_named(tmp_path: Path) -> None:
    process = await spawn("--data", str(tmp_path), "--training-seconds", "-1")
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert "training_seconds" in errors.decode()
