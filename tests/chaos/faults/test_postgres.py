"""PostgreSQL crashes, or does not speak any more on a single connection."""

import asyncio
import os
import signal
from datetime import datetime
from functools import partial

import asyncpg
import pytest
from tests.chaos.faults.house import House
from tests.chaos.faults.people import paid_for, street, when
from tools.proxy import Fault, holds

from lifemask.cli.plan import SERVICES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

AWAY = 1.0
"""Seconds without a database."""


async def test_a_crash_in_mid_run_loses_nothing(home: House) -> None:
    """Three times, so that it meets the runs at different places."""
    async with street(home) as there:
        runs = await there.busy(4)
        for _ in range(3):
            before = home.said("broken")
            started = await start_of(home)
            await asyncio.to_thread(home.crash_postgres)
            await when(partial(_all_broke, home, before))
            await asyncio.sleep(AWAY)
            await asyncio.to_thread(home.start_postgres)
            assert await start_of(home) > started
            await when(partial(_all_there, home))
        history = await there.all_ready(runs)
        assert {paid_for(history, run) for run in runs} == {1}


@pytest.mark.parametrize("words", ["pg_try_advisory_lock", "headers from outbox where"])
async def test_a_relay_whose_connection_falls_silent_is_not_the_end_of_what_is_said(home: House, words: str) -> None:
    """Its other connections speak: nobody but the relay can notice."""
    async with street(home) as there:
        proxy = home.proxies["postgres"]
        before = proxy.hits["silent"]
        proxy.silence(holds(words.encode()))
        pid = home.kill("packager")
        await when(lambda: proxy.hits["silent"] > before)
        runs = await there.busy()
        assert home.pid_of("packager") not in {0, pid}
        await there.all_ready(runs)


async def test_a_process_that_starts_while_nothing_answers_is_there_soon_after(home: House) -> None:
    async with street(home) as there:
        runs = await there.busy()
        proxy = home.proxies["postgres"]
        before = proxy.hits["silent"]
        proxy.both(Fault(silent=True))
        for service in SERVICES:
            os.kill(home.pid_of(service), signal.SIGKILL)
        await when(lambda: proxy.hits["silent"] >= before + len(SERVICES))
        await asyncio.sleep(AWAY)
        proxy.mend()
        await there.all_ready(runs)


def _all_broke(home: House, before: int) -> bool:
    return home.said("broken") >= before + len(SERVICES)


def _all_there(home: House) -> bool:
    return all(home.pid_of(service) for service in SERVICES)


async def start_of(home: House) -> datetime:
    """When the server was started last."""
    rows = await asyncpg.connect(home.dsn)
    try:
        found = await rows.fetchval("select pg_postmaster_start_time()")
    finally:
        await rows.close()
    assert isinstance(found, datetime)
    return found
