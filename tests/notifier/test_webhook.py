"""Webhooks against a real HTTP server that verifies as an app would."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.notifier.world import READY, USER

from lifemask.notifier.adapters.reach import Bounds, Reach
from lifemask.notifier.adapters.webhook import open_webhooks
from lifemask.notifier.domain import Channel, Delivery, Target, of, webhook_body
from lifemask.sandbox.listening import listen, serving

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOTE = of(READY, Channel.WEBHOOK, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@dataclass
class App:
    """An app's receiver: what it was sent, and what it answers."""

    url: str
    status: int = 204
    hangs: bool = False
    floods: bool = False
    redirects: bool = False
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        self.received.append((dict(request.headers), await request.body()))
        if self.hangs:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        if self.redirects:
            return RedirectResponse(self.url, 307)
        if self.floods:
            return StreamingResponse(self._endless(), self.status)
        return Response(status_code=self.status)

    async def _endless(self) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    sock = listen("127.0.0.1")
    app = App(f"http://127.0.0.1:{sock.getsockname()[1]}/hook")
    async with serving((Starlette(routes=[Route("/hook", app.receive, methods=["POST"])]), sock)):
        yield app


async def call(app: App, *, patience: float = 5, clock: timedelta = timedelta(0)) -> Delivery:
    target = Target(app.url, SECRET)
    async with open_webhooks(
        {"acme": target}, lambda: datetime.now(UTC) + clock, patience=patience, reach=Reach(Bounds(), time.monotonic)
    ) as webhooks:
        assert webhooks.target(USER) == target
        assert webhooks.target("other.user-42") is None
        return await webhooks.call(target, NOTE.id, webhook_body(NOTE))


async def test_an_app_can_verify_what_it_is_sent(app: App) -> None:
    assert await call(app) is Delivery.ACCEPTED
    [(headers, body)] = app.received
    verified = Webhook(SECRET).verify(body, headers)
    assert verified["type"] == "lifemask.model.ready.v1"
    assert verified["timestamp"] == "2026-01-02T03:04:05.000+00:00"
    assert verified["data"] == json.loads(READY.body())
    assert headers["webhook-id"] == NOTE.id
    assert headers["content-type"] == "application/json"


async def test_another_secret_does_not_verify(app: App) -> None:
    await call(app)
    [(headers, body)] = app.received
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)


async def test_a_later_try_has_the_same_id_and_body_and_a_time_of_its_own(app: App) -> None:
    await call(app)
    await call(app, clock=timedelta(minutes=2))
    (first, body), (second, same_body) = app.received
    assert (first["webhook-id"], body) == (second["webhook-id"], same_body)
    assert int(second["webhook-timestamp"]) >= int(first["webhook-timestamp"]) + 120
    Webhook(SECRET).verify(same_body, second)


@pytest.mark.parametrize(
    ("status", "delivery"),
    [
        (200, Delivery.ACCEPTED),
        (202, Delivery.ACCEPTED),
        (410, Delivery.REFUSED),
        (400, Delivery.FAILED),
        (401, Delivery.FAILED),
        (404, Delivery.FAILED),
        (429, Delivery.FAILED),
        (500, Delivery.FAILED),
        (503, Delivery.FAILED),
    ],
)
async def test_what_an_answer_means(app: App, status: int, delivery: Delivery) -> None:
    app.status = status
    assert await call(app) is delivery


async def test_a_redirect_is_not_followed(app: App) -> None:
    app.redirects = True
    assert await call(app) is Delivery.FAILED
    assert len(app.received) == 1


async def test_an_app_that_hangs_is_left_alone_after_the_patience(app: App) -> None:
    app.hangs = True
    assert await call(app, patience=0.2) is Delivery.FAILED


async def test_an_endless_answer_is_not_read(app: App) -> None:
    app.floods = True
    assert await call(app) is Delivery.ACCEPTED


async def test_an_app_that_is_away_is_tried_again() -> None:
    assert await call(App("http://127.0.0.1:9/hook")) is Delivery.FAILED
