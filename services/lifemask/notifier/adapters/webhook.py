"""Webhooks as Standard Webhooks has them: signed over id, time of the call and body."""

from asyncio import timeout
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx
import structlog
from standardwebhooks import Webhook

from lifemask.contracts import Digest, UserId, app_of
from lifemask.notifier.adapters.reach import Reach
from lifemask.notifier.domain import Delivery, Target

Clock = Callable[[], datetime]
log = structlog.get_logger()

_GONE = 410
"""The receiver's way to say: never call me again."""


@asynccontextmanager
async def open_webhooks(
    targets: Mapping[str, Target], clock: Clock, *, patience: float, reach: Reach
) -> AsyncIterator["StandardWebhooks"]:
    """`targets` by the app's name; `patience` in seconds bounds the whole call, `reach` the calls of one target."""
    async with httpx.AsyncClient(
        timeout=patience, follow_redirects=False, trust_env=False, headers={"user-agent": "lifemask"}
    ) as client:
        yield StandardWebhooks(client, targets, clock, patience=patience, reach=reach)


class StandardWebhooks:
    """The apps' webhooks."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        targets: Mapping[str, Target],
        clock: Clock,
        *,
        patience: float,
        reach: Reach,
    ) -> None:
        self._client = client
        self._targets = targets
        self._clock = clock
        self._patience = patience
        self._reach = reach

    def target(self, user_id: UserId) -> Target | None:
        return self._targets.get(app_of(user_id))

    def wait(self, target: Target) -> timedelta | None:
        return self._reach.wait(target.url)

    async def call(self, target: Target, notification: Digest, body: str) -> Delivery:
        now = self._clock()
        headers = {
            "content-type": "application/json",
            "webhook-id": notification,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(target.secret).sign(notification, now, body),
        }
        with self._reach.calling(target.url):
            return await self._send(target, headers, body)

    async def _send(self, target: Target, headers: Mapping[str, str], body: str) -> Delivery:
        try:
            async with (
                timeout(self._patience),
                self._client.stream("POST", target.url, content=body.encode(), headers=headers) as answer,
            ):  # the answer's body is nobody's business and is not read
                self._reach.answered(target.url)
                return _delivery(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._reach.silent(target.url)
            log.warning("webhook_not_taken", problem=type(error).__name__)
            return Delivery.FAILED


def _delivery(answer: httpx.Response) -> Delivery:
    if answer.is_success:
        return Delivery.ACCEPTED
    log.warning("webhook_not_taken", status=answer.status_code)
    return Delivery.REFUSED if answer.status_code == _GONE else Delivery.FAILED
