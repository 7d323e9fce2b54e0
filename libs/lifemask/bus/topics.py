"""Whether the topics of a service exist. They are made by `lifemask migrate`, never by a service."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

_PATIENCE_MS: Final = 10_000
_NEWS_PATIENCE: Final = 3.0
"""Seconds after which every node knows a topic that was just made; measured below half a second."""
_POLL: Final = 0.2


class TopicsMissing(Exception):
    """Topics that a service needs are not on the broker. The text names them and says what to do."""


async def require_topics(brokers: Sequence[str], topics: Iterable[str]) -> None:
    """Raises TopicsMissing when any of `topics` is not there, and what aiokafka raises when no broker answers.

    Asks for the list of topics, which makes none, even on a broker that makes topics by itself.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers), request_timeout_ms=_PATIENCE_MS)
    try:
        await admin.start()
        missing = await _missing(admin, set(topics))
    finally:
        await admin.close()
    if missing:
        raise TopicsMissing(f"these topics do not exist: {', '.join(sorted(missing))}. Run `lifemask migrate` first")


async def _missing(admin: AIOKafkaAdminClient, wanted: set[str]) -> set[str]:
    deadline = time.monotonic() + _NEWS_PATIENCE
    while (missing := wanted - set(await admin.list_topics())) and time.monotonic() < deadline:  # noqa: ASYNC110  the broker tells nobody
        await asyncio.sleep(_POLL)
    return missing
