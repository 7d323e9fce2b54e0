"""Each fault before each thing that the services call, one at a time, while several users' runs are on their way."""

import asyncio
from functools import partial

import pytest
from tests.chaos.faults.house import BESIDE, House
from tests.chaos.faults.people import Street, street, when
from tools.proxy import COMMIT, Fault, Match, Proxy, holds

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

FAULTS = {
    "latency": Fault(latency=0.1),
    "rate": Fault(rate=20_000),
    "reset": Fault(reset=True),
    "silent": Fault(silent=True),
}
HELD = 2.0
"""Seconds that a fault stays after its first hit: longer than a client's first retry."""
ANSWERS: dict[str, tuple[Match, int]] = {
    "postgres": (COMMIT, 12),
    "provider": (holds(b"POST /v1/models/"), 2),
    "hub": (holds(b"/commit/"), 2),
    "smtp": (holds(b"\r\n.\r\n"), 2),
}
"""The request whose answer counts most, and how often its answer is lost."""
NOTICED = ("message_retried", "broken", "mail_not_taken", "webhook_not_taken", "poll_failed")
"""What the logs say of a closed port: nothing is counted there."""


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("dependency", BESIDE)
async def test_every_run_is_ready_after(home: House, dependency: str, fault: str) -> None:
    async with street(home) as there:
        await outlive(there, home.proxies[dependency], FAULTS[fault])


@pytest.mark.parametrize("way", ["requests", "replies"])
@pytest.mark.parametrize("dependency", BESIDE)
async def test_every_run_is_ready_after_a_reset_on_one_way(home: House, dependency: str, way: str) -> None:
    """Before the server saw anything, or after it did everything."""
    async with street(home) as there:
        runs = await there.busy()
        proxy = home.proxies[dependency]
        before = proxy.hits["reset"]
        setattr(proxy, way, Fault(reset=True))
        await when(lambda: proxy.hits["reset"] > before)
        proxy.mend()
        await there.all_ready(runs)


@pytest.mark.parametrize("dependency", BESIDE)
async def test_every_run_is_ready_after_its_port_was_closed(home: House, dependency: str) -> None:
    async with street(home) as there:
        runs = await there.busy()
        before = home.said(*NOTICED)
        home.proxies[dependency].close()
        await when(lambda: home.said(*NOTICED) > before)
        await asyncio.sleep(HELD)
        home.proxies[dependency].mend()
        await there.all_ready(runs)


@pytest.mark.parametrize("dependency", BESIDE)
async def test_an_answer_that_is_lost_is_asked_for_and_never_assumed(home: House, dependency: str) -> None:
    match, times = ANSWERS[dependency]
    async with street(home) as there, asyncio.TaskGroup() as tasks:
        if dependency != "postgres":  # the API answers 500 then, and the app asks again: not what is looked at here
            tasks.create_task(lose(home.proxies[dependency], match, times))
        runs = await there.busy(seconds=0.5)
        if dependency == "postgres":
            await lose(home.proxies[dependency], match, times)
        await there.all_ready(runs)


async def outlive(there: Street, proxy: Proxy, fault: Fault) -> None:
    """The fault strikes in the middle of runs, stays a while, and goes; then every run is ready."""
    runs = await there.busy()
    before = proxy.hits[fault.name]
    proxy.both(fault)
    await when(lambda: proxy.hits[fault.name] > before)
    await asyncio.sleep(HELD)
    proxy.mend()
    await there.all_ready(runs)


async def lose(proxy: Proxy, match: Match, times: int) -> None:
    """So many answers, one after the other."""
    for count in range(proxy.hits["lost"] + 1, proxy.hits["lost"] + 1 + times):
        proxy.lose_reply(match)
        await when(partial(_has_lost, proxy, count), 40)


def _has_lost(proxy: Proxy, count: int) -> bool:
    return proxy.hits["lost"] >= count
