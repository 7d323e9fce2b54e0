"""Webhooks as Standard Webhooks has them: signed over id, time of the call and body."""

from asyncio import timeout
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import httpx
import structlog
from standardwebhooks import Webhook

from lifemask.contracts import Digest, UserId, app_of
from lifemask.notifier.domain import Delivery, Target

Clock = Callable[[], datetime]
log = structlog.get_logger()

_GONE = 410
"""The receiver's way to say: never call me again."""


@asynccontextmanager
async def open_webhooks(
    targets: Mapping[str, Target], clock: Clock, *, patience: float
) -> AsyncIterator["StandardWebhooks"]:
    """`targets` by the app's name; `patience` in seconds bounds the whole call."""
    async with httpx.AsyncClient(
        timeout=patience, follow_redirects=False, trust_env=False, headers={"user-agent": "lifemask"}
    ) as client:
        yield StandardWebhooks(client, targets, clock, patience=patience)


class StandardWebhooks:
    """The apps' webhooks."""

    def __init__(
        self, client: httpx.AsyncClient, targets: Mapping[str, Target], clock: Clock, *, patience: float
    ) -> None:
        self._client = client
        self._targets = targets
        self._clock = clock
        self._patience = patience

    def target(self, user_id: UserId) -> Target | None:
        return self._targets.get(app_of(user_id))

    async def call(self, target: Target, notification: Digest, body: str) -> Delivery:
        now = self._clock()
        headers = {
            "content-type": "application/json",
            "webhook-id": notification,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(target.secret).sign(notification, now, body),
        }
        try:
            async with (
                timeout(self._patience),
                self._client.stream("POST", target.url, content=body.encode(), headers=headers) as answer,
            ):  # the answer's body is nobody's business and is not read
                return _delivery(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            log.warning("webhook_not_taken", problem=type(error).__name__)
            return Delivery.FAILED


def _delivery(answer: httpx.Response) -> Delivery:
    if answer.is_success:
        return Delivery.ACCEPTED
    log.warning("webhook_not_taken", status=answer.status_code)
    return Delivery.REFUSED if answer.status_code == _GONE else Delivery.FAILED
