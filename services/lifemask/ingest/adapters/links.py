"""Expiring links, as tokens in URLs of ours."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import structlog

from lifemask.ingest.ports import CallbackTarget, Download, LinkExpired, LinkUnknown, Model, WeightsTarget
from lifemask.objects.keys import BadKey, Key, published
from lifemask.objects.port import ObjectMissing, ObjectStore
from lifemask.objects.tokens import BadToken, Ticket, Tokens

_LOG: Final = structlog.get_logger(__name__)
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
_MEDIA_TYPE: Final = "application/octet-stream"


class TokenLinks:
    """The port `Links`. `public_url` is the base of our URLs as others see them."""

    def __init__(self, objects: ObjectStore, tokens: Tokens, public_url: str) -> None:
        self._objects = objects
        self._tokens = tokens
        self._base = public_url.rstrip("/")

    def weights(self, user_id: str, model: Model, expires_at: datetime) -> str:
        try:
            key = published(user_id, model.id, model.store_key)
        except BadKey:
            _LOG.error("foreign_weights", model=model.id, run=model.run_id)
            raise LinkUnknown from None
        return f"{self._base}/v1/objects/{self._tokens.mint(key, 'weights', expires_at)}"

    def callback(self, token: str, now: datetime) -> CallbackTarget:
        ticket = self._open(token, now)
        user_id, _, rest = ticket.key.partition("/")
        run_id, _, attempt = rest.partition("/")
        if ticket.purpose != "callback" or not (attempt.isascii() and attempt.isdigit()):
            raise LinkUnknown
        return CallbackTarget(user_id, run_id, int(attempt))

    def target(self, token: str, now: datetime) -> WeightsTarget:
        ticket = self._open(token, now)
        if ticket.purpose != "weights":
            raise LinkUnknown
        _, user_id, _, model_id, *_ = ticket.key.split("/")
        return WeightsTarget(user_id, model_id, ticket.key)

    async def find(self, target: WeightsTarget) -> Download:
        if (info := await self._objects.head(Key(target.key))) is None:
            raise LinkExpired
        tag = f'"{info.bytes:x}-{int(info.modified_at.timestamp() * 1_000_000):x}"'
        return Download(target.key, info.bytes, tag, _MEDIA_TYPE, target.key.rpartition("/")[2])

    async def read(self, download: Download, start: int, end: int) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._objects.read(Key(download.key), start=start, end=end):
                yield chunk
        except ObjectMissing:  # deleted since; the answer has begun, so it stays short and the receiver sees it
            return

    def _open(self, token: str, now: datetime) -> Ticket:
        return opened(self._tokens, token, now)


def opened(tokens: Tokens, token: str, now: datetime) -> Ticket:
    """What the token allows. Raises LinkUnknown or LinkExpired."""
    try:
        return tokens.open(token, now)
    except BadToken:
        pass
    try:
        tokens.open(token, _LONG_AGO)
    except BadToken:
        raise LinkUnknown from None
    raise LinkExpired
