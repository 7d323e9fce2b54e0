"""The whole notifier on PostgreSQL and a mail server, wired as in production; only Kafka is left out. No sleeping."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.bus.lab import record
from tests.notifier.world import READY, REJECTED, RUN, STALLED, USER

from lifemask.bus.rows import act_for
from lifemask.bus.service import Service
from lifemask.contracts import OPERATOR, Event, NotificationDelivered, RunRequest, SecurityReported
from lifemask.notifier.settings import NotifierSettings
from lifemask.notifier.wiring import notifier
from lifemask.objects import keys
from lifemask.sandbox.listening import listen, serving
from lifemask.sandbox.server import SandboxUrls, running_sandbox
from lifemask.testkit.objects import InMemoryObjects
from lifemask.testkit.outbox import said

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Process:
    """One notifier, whose loops are turned by hand, a mail server and an app."""

    service: Service
    objects: InMemoryObjects
    urls: SandboxUrls
    client: httpx.AsyncClient
    app: "App"

    async def receive(self, event: Event) -> None:
        await self.service.intake.store([record(event)])
        await self.settle()

    async def settle(self) -> None:
        """Turns until nothing is ready."""
        while await self.service.timer.step() or await self.service.worker.step():
            pass

    async def time_passes(self) -> None:
        """Every reminder is due."""
        await self.service.bus.pool.execute("update reminder set due_at = now()")
        await self.settle()

    async def hears_itself(self) -> None:
        """What it has reported since comes back to it over Kafka."""
        await self.service.reporter.step()
        rows = await self.service.bus.pool.fetch("select headers, value from outbox order by id")
        for event in map(said, rows):
            if isinstance(event, SecurityReported):
                await self.receive(event)

    async def an_hour_passes(self) -> None:
        """Since the last report and the last mail."""
        hour = "interval '61 minutes'"
        await self.service.bus.pool.execute(f"update security set reported_at = reported_at - {hour}")
        async with self.service.bus.pool.acquire() as connection, connection.transaction():
            await act_for(connection, OPERATOR)
            await connection.execute(f"update report set mailed_at = mailed_at - {hour}")

    async def operators_mails(self) -> list[dict[str, Any]]:
        return [mail for mail in await self.mails() if mail["to"] == ["ops@example.com"]]

    async def told(self) -> list[tuple[str, str, int]]:
        rows = await self.service.bus.pool.fetch("select headers, value from outbox order by id")
        facts = [said(row) for row in rows]
        return sorted(
            (fact.channel, fact.result, fact.tries) for fact in facts if isinstance(fact, NotificationDelivered)
        )

    async def mails(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.client.get(self.urls.mails)).json()
        return found

    async def mail_fails(self) -> None:
        fault = {"operation": "smtp", "effect": "answer", "status": 451}
        assert (await self.client.post(self.urls.faults, json=fault)).status_code == 200


@dataclass
class App:
    """An app's receiver."""

    status: int = 204
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        self.received.append((dict(request.headers), await request.body()))
        return Response(status_code=self.status)


@pytest.fixture
async def process(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> AsyncIterator[Process]:
    app, sock, store = App(), listen("127.0.0.1"), uuid4().hex
    hook = f"http://127.0.0.1:{sock.getsockname()[1]}/hook"
    apps = tmp_path / "apps.json"
    apps.write_text(json.dumps({"acme": {"webhook_url": hook, "webhook_secret": SECRET}}))
    objects = InMemoryObjects.named(store)
    await objects.put(keys.contact(USER), b'{"email": "anna@example.org"}')
    request = RunRequest(name="My portrait", trigger_word="ANNA")
    await objects.put(keys.request(USER, RUN), request.model_dump_json().encode())
    async with (
        serving((Starlette(routes=[Route("/hook", app.receive, methods=["POST"])]), sock)),
        running_sandbox(tmp_path / "sandbox") as urls,
        httpx.AsyncClient(trust_env=False) as client,
        notifier(
            NotifierSettings(
                postgres=await database("notifier"),
                objects=f"memory://{store}",
                smtp=SecretStr(urls.smtp),
                mail_from="Lifemask <models@example.com>",
                apps=apps,
                operator_mail="ops@example.com",
            )
        ) as service,
    ):
        yield Process(service, objects, urls, client, app)


async def test_a_ready_model_is_told_by_mail_and_webhook(process: Process) -> None:
    await process.receive(READY)
    [mail] = await process.mails()
    assert (mail["to"], mail["subject"]) == (["anna@example.org"], "“My portrait” is ready")
    [(headers, body)] = process.app.received
    assert Webhook(SECRET).verify(body, headers)["data"]["model_id"] == READY.model_id
    assert await process.told() == [("email", "delivered", 1), ("webhook", "delivered", 1)]


async def test_the_same_fact_from_a_refilled_broker_tells_nobody_twice(process: Process) -> None:
    await process.receive(REJECTED)
    await process.receive(REJECTED)
    await process.time_passes()
    assert len(await process.mails()) == len(process.app.received) == 1
    assert len(await process.told()) == 2


async def test_a_dead_webhook_does_not_hold_up_the_mail(process: Process) -> None:
    process.app.status = 503
    await process.receive(READY)
    assert len(await process.mails()) == 1
    assert await process.told() == [("email", "delivered", 1)]
    process.app.status = 204
    await process.time_passes()
    assert await process.told() == [("email", "delivered", 1), ("webhook", "delivered", 2)]
    ids = {headers["webhook-id"] for headers, _ in process.app.received}
    assert len(ids) == 1
    assert len(process.app.received) == 2


async def test_a_dead_mail_server_does_not_hold_up_the_webhook(process: Process) -> None:
    await process.mail_fails()
    await process.receive(READY)
    assert await process.told() == [("webhook", "delivered", 1)]
    await process.time_passes()
    assert await process.told() == [("email", "delivered", 2), ("webhook", "delivered", 1)]


async def test_a_webhook_that_says_gone_is_never_called_again(process: Process) -> None:
    process.app.status = 410
    await process.receive(READY)
    await process.time_passes()
    assert len(process.app.received) == 1
    assert ("webhook", "gave_up", 1) in await process.told()


async def test_a_delay_reaches_the_app_alone(process: Process) -> None:
    await process.receive(STALLED)
    assert await process.mails() == []
    assert [json.loads(body)["type"] for _, body in process.app.received] == ["lifemask.run.stalled.v1"]


async def test_without_a_contact_the_mail_is_skipped_and_the_webhook_sent(process: Process) -> None:
    await process.objects.delete(keys.contact(USER))
    await process.receive(READY)
    assert await process.told() == [("email", "skipped", 0), ("webhook", "delivered", 1)]
