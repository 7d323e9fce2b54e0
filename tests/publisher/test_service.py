"""The whole publisher on PostgreSQL and a hub, wired as in production; only Kafka is left out. No sleeping."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from tests.bus.lab import record
from tests.publisher.sealed import trained_run

from lifemask.bus.outbound import nothing_on_end
from lifemask.bus.service import Service
from lifemask.contracts import (
    Event,
    ModelReady,
    ModelRevocationRequested,
    ModelRevoked,
    RunCancelRequested,
    RunFailed,
    RunStalled,
)
from lifemask.custody import Reader
from lifemask.custody.steps import REVOCATION
from lifemask.objects import keys
from lifemask.publisher.settings import PublisherSettings
from lifemask.publisher.wiring import publisher
from lifemask.sandbox.server import SandboxUrls, running_sandbox
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.keys import test_keys
from lifemask.testkit.objects import InMemoryObjects
from lifemask.testkit.outbox import said

# huggingface_hub 2.4 itself sends large files the way httpx2 wants to retire
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

Make = Callable[[str], Awaitable[str]]


class Killed(BaseException):
    """The process is no more."""


class Hooked(InMemoryObjects):
    """A store in which something happens at the moments that matter."""

    on_read_back: Callable[[], Awaitable[None]] | None = None
    """Called once, when the published weights are about to be read back."""
    dies_at: str = ""
    """The process dies when it writes the statement of this step or act."""

    async def read(self, key: keys.Key, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if end is None and "/models/" in key and (hook := self.on_read_back):
            self.on_read_back = None
            await hook()
        async for chunk in super().read(key, start=start, end=end):
            yield chunk

    async def put(self, key: keys.Key, data: bytes, *, create_only: bool = False) -> None:
        if self.dies_at and f"{self.dies_at}-" in key:
            raise Killed
        await super().put(key, data, create_only=create_only)


@dataclass
class Process:
    """One publisher, whose loops are turned by hand."""

    service: Service
    objects: Hooked
    urls: SandboxUrls
    client: httpx.AsyncClient

    async def receive(self, event: Event) -> None:
        await self.service.intake.store([record(event)])

    async def settle(self) -> None:
        """Turns until nothing is ready; every back-off is over at once, reminders wait for their time."""
        for _ in range(40):
            await self.service.timer.step()
            if not await self.service.worker.step():
                break

    async def time_passes(self) -> None:
        await self.service.bus.pool.execute("update lane set ready_at = now()")
        await self.service.bus.pool.execute("update reminder set due_at = now()")
        await self.settle()

    async def cancel(self, run: dict[str, str]) -> None:
        await self.receive(an_event(RunCancelRequested, **run))
        await self.service.ender.end(run["user_id"], run["run_id"])

    async def facts(self) -> list[Event]:
        rows = await self.service.bus.pool.fetch("select headers, value from outbox order by id")
        return [said(row) for row in rows]

    async def fails(self, operation: str, effect: str, **details: Any) -> None:
        answer = await self.client.post(self.urls.faults, json={"operation": operation, "effect": effect, **details})
        assert answer.status_code == 200, answer.text

    async def repos(self) -> list[dict[str, Any]]:
        """The repositories that are still there."""
        found = (await self.client.get(self.urls.ledger)).json()["repos"]
        return [repo for repo in found if repo["deleted_at"] is None]

    @property
    def models(self) -> list[str]:
        return [key for key in self.objects.keys if "/models/" in key]


@asynccontextmanager
async def started(dsn: str, store: str, urls: SandboxUrls) -> AsyncIterator[Process]:
    objects = InMemoryObjects._named.setdefault(store, Hooked())
    assert isinstance(objects, Hooked)
    settings = PublisherSettings(
        postgres=dsn,
        objects=f"memory://{store}",
        hf_namespace=urls.hub_user,
        hf_token=SecretStr(urls.hub_token),
        hf_endpoint=urls.hub,
        hub_timeout=5,
        backoff=60,
    )
    async with publisher(settings) as service, httpx.AsyncClient(trust_env=False) as client:
        yield Process(service, objects, urls, client)


@pytest.fixture
async def process(database: Make, tmp_path: Path) -> AsyncIterator[Process]:
    async with (
        running_sandbox(tmp_path / "sandbox") as urls,
        started(await database("publisher"), uuid4().hex, urls) as process,
    ):
        yield process


async def test_a_training_becomes_a_model(process: Process) -> None:
    run = a_run()
    await process.receive(await trained_run(process.objects, run))
    await process.settle()
    [ready] = await process.facts()
    assert isinstance(ready, ModelReady)
    assert ready.run == run
    [repo] = await process.repos()
    assert (repo["id"], repo["commits"]) == (ready.hub_repo, 3)
    assert ready.hub_commit != repo["head"], "the statement about the publication names the commit before its own"
    assert repo["files"]["lora.safetensors"]["sha256"] == ready.weights
    custody = {name.removeprefix("custody/"): file for name, file in repo["files"].items() if name[:8] == "custody/"}
    stored = [key for key in process.objects.keys if key.endswith(".dsse.json")]
    assert sorted(custody) == [key.rpartition("/")[2] for key in stored]
    for key in stored:
        signed = await process.objects.get(key, limit=100_000)
        assert custody[key.rpartition("/")[2]]["sha256"] == hashlib.sha256(signed).hexdigest()
    assert process.models == sorted([ready.store_key, ready.store_key.replace("lora.safetensors", "metadata.json")])
    await process.time_passes()
    assert len(process.models) == 2
    assert len(await process.repos()) == 1
    assert len(await process.facts()) == 1


async def test_two_runs_of_a_user_are_two_models(process: Process) -> None:
    first, second = a_run(user="ann"), a_run(user="ann")
    for run in (first, second):
        await process.receive(await trained_run(process.objects, run))
    await process.settle()
    facts = await process.facts()
    assert [type(fact) for fact in facts] == [ModelReady, ModelReady]
    assert len(await process.repos()) == 2


@pytest.mark.parametrize(
    ("operation", "details"),
    [
        ("create_repo", {"effect": "answer", "status": 503}),
        ("commit", {"effect": "drop_after"}),
        ("commit", {"effect": "answer", "status": 429, "retry_after": 0}),
        ("commit", {"effect": "answer", "status": 412}),
        ("resolve", {"effect": "drop_before"}),
        ("download", {"effect": "drop_after"}),
    ],
)
async def test_a_hub_in_trouble_delays_the_model_and_doubles_nothing(
    process: Process, operation: str, details: dict[str, Any]
) -> None:
    run = a_run()
    await process.fails(operation, **details)
    await process.receive(await trained_run(process.objects, run))
    for _ in range(3):
        await process.settle()
        await process.service.bus.pool.execute("update lane set ready_at = now()")
    [ready] = await process.facts()
    assert isinstance(ready, ModelReady)
    [repo] = await process.repos()
    assert repo["commits"] == 3  # the hub's own, the weights', and that of the statement about them
    await process.time_passes()
    assert {key.split("/")[-2] for key in process.models} == {ready.version}


async def test_a_run_cancelled_while_it_waits_leaves_nothing_outside(process: Process) -> None:
    run = a_run()
    await process.fails("commit", "answer", status=503)
    await process.receive(await trained_run(process.objects, run))
    await process.service.worker.step()
    assert process.models
    assert await process.repos()
    await process.cancel(run)
    await process.time_passes()
    assert [type(fact).__name__ for fact in await process.facts()] == ["RunCanceled"]
    assert process.models == []
    assert await process.repos() == []


async def test_without_the_order_to_withdraw_it_would_stay(process: Process) -> None:
    """The control arm of the test before: what it looks at is really there."""
    run = a_run()
    process.service.ender = replace(
        process.service.ender, outbound=replace(process.service.bus.outbound, on_end=nothing_on_end)
    )
    await process.fails("commit", "answer", status=503)
    await process.receive(await trained_run(process.objects, run))
    await process.service.worker.step()
    await process.cancel(run)
    await process.time_passes()
    assert [type(fact).__name__ for fact in await process.facts()] == ["RunCanceled"]
    assert process.models
    assert await process.repos()


async def test_a_run_cancelled_while_it_is_published_leaves_nothing_outside(process: Process) -> None:
    """The cancel comes between the hub's commit and the finish."""
    run = a_run()
    await process.receive(await trained_run(process.objects, run))
    process.objects.on_read_back = lambda: process.cancel(run)
    await process.settle()
    await process.time_passes()
    assert [type(fact).__name__ for fact in await process.facts()] == ["RunCanceled"]
    assert process.models == []
    assert await process.repos() == []


async def acts(process: Process, run: dict[str, str]) -> list[keys.Key]:
    prefix = keys.acts_prefix(run["user_id"], run["run_id"], "revocation")
    return [key for key in process.objects.keys if key.startswith(prefix)]


def asked_of(ready: ModelReady, **changes: str) -> ModelRevocationRequested:
    told = {"model_id": ready.model_id, "reason": "The photos were another person's.", "actor": "kim"}
    return an_event(ModelRevocationRequested, **ready.run, **(told | changes))


async def test_a_revoked_model_is_gone_everywhere_and_its_evidence_stays(process: Process) -> None:
    run = a_run()
    training = await trained_run(process.objects, run)
    await process.receive(training)
    await process.settle()
    [ready] = await process.facts()
    assert isinstance(ready, ModelReady)
    evidence = {key for key in process.objects.keys if "/custody/" in key}
    await process.fails("delete_repo", "drop_after")
    await process.receive(asked_of(ready))
    await process.settle()
    assert len(await process.facts()) == 1  # the hub's answer was lost
    await process.receive(asked_of(ready, actor="lee"))
    await process.time_passes()
    [_, revoked] = await process.facts()
    assert isinstance(revoked, ModelRevoked)
    assert (revoked.run, revoked.model_id, revoked.actor) == (run, ready.model_id, "kim")
    assert process.models == []
    assert await process.repos() == []
    [act] = await acts(process, run)
    found = await Reader(process.objects, test_keys().keyring).act(REVOCATION, act, **run, seen=None)
    assert (found.fields.actor, found.fields.reason) == ("kim", revoked.reason)
    assert (found.fields.model, found.fields.version) == (ready.model_id, ready.version)
    assert evidence == {key for key in process.objects.keys if "/custody/" in key} - {act}
    await process.receive(asked_of(ready))
    await process.receive(training)
    await process.time_passes()
    assert len(await process.facts()) == 2
    assert len(await acts(process, run)) == 1
    assert process.models == []


async def test_a_revocation_that_was_killed_anywhere_goes_on(database: Make, tmp_path: Path) -> None:
    """Killed when it signs: everything outside is gone by then, nothing is told."""
    dsn, store, run = await database("publisher"), uuid4().hex, a_run()
    async with running_sandbox(tmp_path / "sandbox") as urls:
        async with started(dsn, store, urls) as first:
            await first.receive(await trained_run(first.objects, run))
            await first.settle()
            [ready] = await first.facts()
            assert isinstance(ready, ModelReady)
            await first.receive(asked_of(ready))
            first.objects.dies_at = "revocation"
            with pytest.raises(Killed):
                await first.settle()
            assert await first.facts() == [ready]
        first.objects.dies_at = ""
        async with started(dsn, store, urls) as second:
            await second.time_passes()
            [_, revoked] = await second.facts()
            assert isinstance(revoked, ModelRevoked)
            assert second.models == []
            assert await second.repos() == []
            assert len(await acts(second, run)) == 1


async def test_a_publication_that_waits_is_blocked_by_a_revocation(process: Process) -> None:
    """The training's message is a dead letter when the revocation comes; an operator replays it afterwards."""
    run = a_run()
    await process.fails("commit", "answer", status=409, times=None)
    training = await trained_run(process.objects, run)
    await process.receive(training)
    for _ in range(process.service.bus.settings.max_attempts):
        await process.settle()
        await process.service.bus.pool.execute("update lane set ready_at = now()")
    assert process.models
    model = process.models[0].split("/")[3]
    await process.receive(an_event(ModelRevocationRequested, **run, model_id=model))
    await process.time_passes()
    assert process.models == []
    assert await process.repos() == []
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.delete(process.urls.faults)
    await process.service.bus.pool.execute(
        "update inbox set dead_at = null, attempts = 0, replays = 1 where dead_at is not null"
    )
    await process.service.bus.pool.execute("update lane set todo = 1")
    await process.time_passes()
    failed = (await process.facts())[-1]
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "model_revoked"
    assert process.models == []
    assert await process.repos() == []


async def test_other_bytes_on_the_hub_fail_the_run_and_are_withdrawn(process: Process) -> None:
    run = a_run()
    await process.fails("download", "alter", times=None)
    await process.receive(await trained_run(process.objects, run))
    await process.settle()
    await process.time_passes()
    [failed] = await process.facts()
    assert isinstance(failed, RunFailed)
    assert (failed.failure.code, failed.cost_usd) == ("publication_differs", "1.04")
    assert process.models == []
    assert await process.repos() == []


async def test_foreign_weights_are_never_published(process: Process) -> None:
    run = a_run()
    event = await trained_run(process.objects, run)
    await process.objects.put(keys.weights(run["user_id"], run["run_id"], 1), b"somebody else's")
    await process.receive(event)
    await process.settle()
    [failed] = await process.facts()
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"
    assert process.models == []
    assert await process.repos() == []


async def test_a_refused_token_pauses_and_fails_nobody(process: Process) -> None:
    run = a_run()
    await process.fails("create_repo", "answer", status=403)
    await process.receive(await trained_run(process.objects, run))
    await process.service.worker.step()
    readiness = await process.service.readiness()
    assert readiness.paused is not None
    assert "HF_TOKEN" in readiness.paused
    [told] = await process.facts()
    assert isinstance(told, RunStalled)


async def test_a_second_process_takes_over_after_a_crash_before_the_seal(database: Make, tmp_path: Path) -> None:
    """The first one dies after its comparison was stored; the second seals and announces the same place."""
    dsn, store, run = await database("publisher"), uuid4().hex, a_run()
    async with running_sandbox(tmp_path / "sandbox") as urls:
        async with started(dsn, store, urls) as first:
            event = await trained_run(first.objects, run)
            await first.receive(event)
            first.objects.dies_at = "publication"
            with pytest.raises(Killed):
                await first.service.worker.step()
            places = first.models
        first.objects.dies_at = ""
        async with started(dsn, store, urls) as second:
            await second.time_passes()
            [ready] = await second.facts()
            assert isinstance(ready, ModelReady)
            assert second.models == places
            [repo] = await second.repos()
            assert repo["commits"] == 3
