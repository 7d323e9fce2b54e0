"""One service in two processes on three Kafka nodes: nothing lost, nothing doubled, each user's order kept."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.real.world import World, assert_whole, two_processes, until
from tools.kafka import Kafka

from lifemask.bus.inbound import Raw
from lifemask.contracts import Topic

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]


@pytest.fixture
async def world(
    kafka: Kafka, topics: str, database: Callable[[str], Awaitable[str]], tmp_path: Path
) -> AsyncIterator[World]:
    async with two_processes(kafka.bootstrap, topics, await database("packager"), tmp_path) as world:
        yield world


async def test_a_thousand_messages_keep_each_users_order(world: World) -> None:
    await world.until_shared(members=2)
    await world.send(1000)
    await world.until_done()
    found = await world.sealed()
    assert len(found) == 1000
    assert_whole(world.sent, found)


async def test_processes_that_come_and_go_lose_nothing(world: World) -> None:
    await world.supervisor.stop_children(["two"])
    await world.send(200)
    await world.supervisor.start_children(["two"])
    await world.until_shared(members=2)
    await world.send(200)
    os.kill(world.supervisor.pids["one"], signal.SIGKILL)
    await world.send(200)
    await world.until_done()
    assert_whole(world.sent, await world.sealed())


async def test_brokers_that_die_and_come_back_lose_nothing(world: World, kafka: Kafka) -> None:
    for node in (1, 2):
        await world.send(100)
        kafka.kill(node)
        try:
            await world.send(100)
            await world.until_done()
        finally:
            await kafka.bring_back(node)
    await world.send(100)
    await world.until_done()
    assert_whole(world.sent, await world.sealed())


async def test_null_headers_cost_no_record(world: World) -> None:
    await world.send(50, headers=[("note", None), ("picture", b"\xff\x00")])
    unreadable = Raw(Topic.DATASETS, "", b"acme.u1", b"{}", [("ce_type", None), ("ce_id", b"\xff")])
    await world.send_raw([unreadable])
    await world.send(50, headers=[("note", None)])
    await world.until_done()
    assert_whole(world.sent, await world.sealed())
    await until(lambda: world.database.fetchval("select count(*) = 1 from security where reason = 'unsigned'"))
