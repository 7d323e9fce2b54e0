"""The provider's webhook secret, asked for over its API and remembered."""

import asyncio
import time
from typing import Final

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from lifemask.ingest.domain.signature import secret_bytes
from lifemask.ingest.ports import SecretUnavailable

_LOG: Final = structlog.get_logger(__name__)
PATH: Final = "/v1/webhooks/default/secret"
_PAUSE: Final = 60.0
"""Seconds between two questions, so that forged callbacks cannot make us ask all the time."""
_PAUSE_OF_SILENCE: Final = 5.0
"""Seconds after a question that was not answered; so long callbacks cannot be checked."""


class _Answer(BaseModel):
    key: str


class ReplicateSecrets:
    """The port `CallbackSecrets`. `http` has the provider's base URL and our token."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._key: bytes | None = None
        self._asked_at: float | None = None
        self._silent = False
        self._asking = asyncio.Lock()

    async def current(self) -> bytes:
        if self._key is None:
            await self._ask()
        if self._key is None:
            raise SecretUnavailable
        return self._key

    async def newer(self) -> bytes | None:
        known = self._key
        await self._ask()
        return self._key if self._key != known else None

    async def _ask(self) -> None:
        async with self._asking:
            now = time.monotonic()
            if self._asked_at is not None and now - self._asked_at < (_PAUSE_OF_SILENCE if self._silent else _PAUSE):
                if self._silent:
                    raise SecretUnavailable
                return
            self._asked_at, self._silent = now, True
            self._key = await self._fetch()
            self._silent = False

    async def _fetch(self) -> bytes:
        try:
            response = await self._http.get(PATH)
            response.raise_for_status()
            return secret_bytes(_Answer.model_validate_json(response.content).key)
        except (httpx.HTTPError, ValidationError, ValueError) as error:
            _LOG.warning("the provider does not tell its webhook secret", problem=type(error).__name__)
            raise SecretUnavailable from None
