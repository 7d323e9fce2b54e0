"""A notification sent again on an operator's order: the same id, the same text, and days of tries anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.bus.running import as_owner
from tests.cli.conftest import Call, lifemask
from tests.notifier.test_handlers import NOON, begin, live, take
from tests.notifier.test_service import Process, process
from tests.notifier.world import IDS, READY, RUN, World

from lifemask.bus.outcomes import Later
from lifemask.notifier.domain import Channel, Delivery, State, of
from lifemask.notifier.handlers import HANDLERS, ResendOrdered

__all__ = ["lifemask", "process"]

WEBHOOK = of(READY, Channel.WEBHOOK, NOON).id


def order(notification: str = WEBHOOK) -> ResendOrdered:
    return ResendOrdered(**IDS, notification=notification, order="order")


async def test_one_that_was_given_up_is_told_for_days_again() -> None:
    world = World()
    world.webhooks.answer = Delivery.FAILED
    _, webhook = await begin(world, READY)
    await live(world, webhook)
    assert world.notifications.rows[WEBHOOK].state is State.GAVE_UP
    [again] = [each for each in await take(world, order()) if isinstance(each, Later)]
    tried = len(world.webhooks.calls)
    story = await live(world, again, world.notifications.now)
    assert timedelta(days=2) < story[-1][0] <= timedelta(days=3)
    assert world.notifications.answers == {"order": "sent_again"}
    world.webhooks.answer = Delivery.ACCEPTED
    [again] = [each for each in await take(world, order()) if isinstance(each, Later)]
    await live(world, again, world.notifications.now)
    assert world.notifications.rows[WEBHOOK].state is State.DELIVERED
    assert len(world.webhooks.calls) > tried
    assert len({(name, body) for _, name, body in world.webhooks.calls}) == 1


async def test_one_that_waits_is_tried_now_and_its_waiting_try_is_void() -> None:
    world = World()
    world.webhooks.answer = Delivery.FAILED
    _, webhook = await begin(world, READY)
    [waiting] = [each for each in await take(world, webhook.message) if isinstance(each, Later)]
    world.webhooks.answer = Delivery.ACCEPTED
    [now] = [each for each in await take(world, order()) if isinstance(each, Later)]
    assert now.after == timedelta(0)
    await take(world, now.message)
    assert await take(world, waiting.message) == []
    assert (len(world.webhooks.calls), world.notifications.answers["order"]) == (2, "tried_now")


async def test_nothing_is_sent_that_was_never_to_be_told() -> None:
    world = World()
    assert len(await take(world, order())) == 1
    assert world.notifications.answers["order"] == "refused: no such notification"


@pytest.fixture
async def call(process: Process, postgres: str, lifemask: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    name = await process.service.bus.pool.fetchval("select current_database()")
    monkeypatch.setenv("LIFEMASK_POSTGRES", as_owner(postgres, f"postgresql:///{name}"))
    return lifemask


@asynccontextmanager
async def working(process: Process) -> AsyncIterator[None]:
    ended = asyncio.Event()

    async def work() -> None:
        while not ended.is_set():
            await process.service.orders.step()
            await process.settle()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        ended.set()
        await task


async def command(call: Call, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    return await asyncio.to_thread(call, "notifications", *arguments)


async def test_the_command_lists_and_sends_again(process: Process, call: Call) -> None:
    process.app.status = 410
    await process.receive(READY)
    code, [listed] = await command(call, "list")
    assert (code, listed["channel"], listed["state"], listed["run_id"]) == (0, "webhook", "gave_up", RUN)
    assert listed["why"] == "refused"
    assert len((await command(call, "list", "--run", RUN))[1]) == 2
    assert (await command(call, "resend", listed["id"][:10]))[1][0]["ordered"] is False
    assert len(process.app.received) == 1
    process.app.status = 204
    async with working(process):
        code, lines = await command(call, "resend", listed["id"], "--yes")
        assert (code, lines[-1]["outcome"]) == (0, "sent_again")
    await process.settle()
    (first, text), (second, again) = process.app.received
    assert (first["webhook-id"], text) == (second["webhook-id"], again)
    assert ("webhook", "delivered", 2) in await process.told()
    assert len(await process.mails()) == 1
    assert await command(call, "list") == (0, [])


async def test_wrong_ids_are_told_plainly(process: Process, call: Call) -> None:
    for arguments, expected in (
        (["resend"], 2),
        (["resend", "xyz"], 2),
        (["resend", "0" * 64], 1),
        (["list", "--run", "x"], 1),
    ):
        assert (await command(call, *arguments))[0] == expected


def test_command_and_handler_mean_the_same_message() -> None:
    from lifemask.cli import notifications

    assert notifications._RESEND in {route.message.ce_type for route in HANDLERS}
