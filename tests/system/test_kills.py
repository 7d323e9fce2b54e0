"""Processes that end without notice: every accepted run still ends well, and is paid for once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from tests.one_machine.waiting import is_running, until
from tests.system.commands import REASON, revoke
from tests.system.conftest import Apps, a_client, a_person, assert_sound
from tests.system.history import History
from tests.system.outside import Outside
from tests.system.photos import good
from tests.system.stack import Stack
from tests.system.waiting import eventually

from lifemask.cli.plan import SERVICES


@asynccontextmanager
async def within(stack: Stack, apps: Apps) -> AsyncIterator[tuple[httpx.AsyncClient, Outside]]:
    """The system, started when it is down, as an app and from outside."""
    if not stack.is_up:
        await asyncio.to_thread(stack.start)
    async with (
        a_client(stack.url, apps.keys["acme"]) as http,
        httpx.AsyncClient(trust_env=False, timeout=10) as outer,
    ):
        yield http, Outside(outer, stack.sandbox)


def paid(history: History, run: str) -> int:
    paths = {attempt.path for attempt in history.attempts if attempt.run == run}
    return len([training for training in history.billed if training.path in paths])


async def test_after_a_kill_of_everything_all_goes_on_and_nothing_is_paid_twice(victim: Stack, apps: Apps) -> None:
    """One run is in training and one before it; the hub deletes a model that is being revoked: asked for, the model
    blocked, nothing told.
    """
    async with within(victim, apps) as (http, outside):
        trained, waiting, revoked = (a_person(http) for _ in range(3))
        third = await revoked.accepted(good(12))
        model = (await revoked.ended(third, 40))["model"]["id"]
        first, second = await trained.filled(good(12)), await waiting.filled(good(12, seed=2))
        await outside.fault("delete_repo", "delay", seconds=20)
        await outside.fault("training", "timing", queue_seconds=0, seconds=8)
        assert (await revoke(victim, model, "--yes", "--wait", "0"))[0] == 3

        async def deleting() -> bool:
            return [fault["operation"] for fault in await outside.faults_left()] == ["training"]

        await eventually(deleting)
        assert (await http.get(revoked.path())).json()["model_status"] == "ready"
        assert (await trained.submit(first)).status_code == 202
        await trained.training(first)
        assert (await waiting.submit(second)).status_code == 202
        assert (await trained.training(first))["status"] == "training"
        await asyncio.to_thread(victim.kill_all)
    async with within(victim, apps) as (http, outside):
        for person, run in ((trained, first), (waiting, second)):
            again = type(person)(http, person.app, person.name)
            assert (await again.ended(run, 40))["status"] == "ready"
        code, lines = await revoke(victim, model, reason="Somebody else's words.")
        assert (code, lines[-1]["reason"]) == (0, REASON)
        history = await assert_sound(victim, outside)
        assert [paid(history, run) for run in (first, second, third)] == [1, 1, 1]
        told = [fact for fact in history.facts if (fact.kind, fact.run) == ("model.revoked", third)]
        assert len({fact.id for fact in told}) == 1
        assert len(await outside.mails(trained.email)) == 1
        assert [mail["subject"] for mail in await outside.mails(revoked.email)][1:] == ["“Portrait” was withdrawn"]


async def test_nothing_runs_on_after_a_kill_of_the_supervisor(victim: Stack, apps: Apps) -> None:
    async with within(victim, apps) as (http, _):
        await a_person(http).accepted(good(12))
        left = victim.kill_supervisor()
        assert len(left) > len(SERVICES) + 3
        await until(lambda: not any(map(is_running, left)), 15)
