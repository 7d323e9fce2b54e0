"""A deploy while people use the system: each service is asked to end and is started again.

Old and new side by side: beside real Kafka, the embedded broker has room for one member of a group.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import psutil  # type: ignore[import-untyped]  # brings no types
import pytest
from tests.chaos.faults.house import House
from tests.chaos.faults.people import paid_for, street, when
from tests.one_machine.waiting import is_running

from lifemask.cli.plan import SERVICES
from lifemask.cli.ports import choose_ports

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]


async def test_each_service_is_asked_to_end_under_load_and_nothing_is_lost(home: House) -> None:
    async with street(home) as there:
        runs = await there.busy(4, seconds=4)
        for service in SERVICES:
            before = home.said("stopped")
            pid = home.stop_service(service)
            await when(partial(_is_gone, pid))
            assert home.said("stopped") == before + 1, f"{service} did not end in order"
            await when(partial(home.pid_of, service))
        history = await there.all_ready(runs)
        assert {paid_for(history, run) for run in runs} == {1}


@asynccontextmanager
async def another(home: House, service: str) -> AsyncIterator[str]:
    """A second process of the service, with the settings of the first; asked to end with the block."""
    (place := home.data.parent / "second").mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{(port := choose_ports([service], place)[service])}"
    environment = psutil.Process(home.pid_of(service)).environ() | {"LIFEMASK_PORT": str(port)}
    environment.pop("LIFEMASK_WATCH_FD")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"lifemask.{service}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
            while not await _lives(http, url):
                assert process.returncode is None, "the second process ended"
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        code = await process.wait()
    assert code == 0


async def _lives(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).is_success
    except httpx.TransportError:
        return False


def _is_gone(pid: int) -> bool:
    return not is_running(pid)
