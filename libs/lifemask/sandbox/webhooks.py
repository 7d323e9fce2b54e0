"""Signed callbacks, Standard Webhooks: one id over all tries, only the terminal one is tried again."""

import asyncio
import base64
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from lifemask.sandbox.faults import Faults
from lifemask.sandbox.store import Store

LOG = "webhooks.jsonl"
_RETRY_DELAYS = (0.5, 1, 2, 4, 8, 15, 30)


def webhook_secret(store: Store) -> str:
    """The account's signing secret, `whsec_<base64>`; made once per data directory."""
    kept = store.load("secret.json")
    if kept is None:
        kept = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        store.save("secret.json", kept)
    return str(kept)


@dataclass(frozen=True, slots=True)
class Message:
    """One webhook to send. `terminal` ones are retried until `retry_until` (seconds since the epoch)."""

    id: str
    training: str
    event: str
    url: str
    payload: dict[str, Any]
    foreign: dict[str, Any]
    retry_until: float = 0.0


class Webhooks:
    """Sends messages and keeps a line about every try."""

    def __init__(self, store: Store, faults: Faults, client: httpx.AsyncClient) -> None:
        self.secret = webhook_secret(store)
        self._store = store
        self._faults = faults
        self._client = client

    async def send(self, message: Message) -> None:
        """Delivers `message` as the switches say; returns when it arrived, was lost, or time is up. Never raises."""
        taken = self._faults.take("webhook", message.event)
        if "lose" in taken:
            self._note(message, "lost", None)
            return
        if "forge" in taken:
            await self._try(message, message.payload, self._forged_secret(), "forged")
            return
        payload = message.foreign if "foreign" in taken else message.payload
        kind = "foreign" if "foreign" in taken else "sent"
        if "double" in taken:
            await self._try(message, payload, self.secret, kind)
            kind = "doubled"
        for delay in (*_RETRY_DELAYS, None):
            if await self._try(message, payload, self.secret, kind):
                return
            if delay is None or time.time() + delay > message.retry_until:
                return
            await asyncio.sleep(delay)

    async def _try(self, message: Message, payload: dict[str, Any], secret: str, kind: str) -> bool:
        body = json.dumps(payload)
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(message.id, now, body),
        }
        try:
            answer = await self._client.post(message.url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            self._note(message, kind, None)
            return False
        self._note(message, kind, answer.status_code)
        return answer.is_success

    def _note(self, message: Message, kind: str, status: int | None) -> None:
        line = {"id": message.id, "training": message.training, "event": message.event, "url": message.url}
        self._store.append(LOG, line | {"kind": kind, "status": status, "at": time.time()})

    @staticmethod
    def _forged_secret() -> str:
        return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
