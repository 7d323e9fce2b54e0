"""Whether the topics of a service exist. They are made by `lifemask migrate`, never by a service."""

from collections.abc import Iterable, Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

_PATIENCE_MS: Final = 10_000


class TopicsMissing(Exception):
    """Topics that a service needs are not on the broker. The text names them and says what to do."""


async def require_topics(brokers: Sequence[str], topics: Iterable[str]) -> None:
    """Raises TopicsMissing when any of `topics` is not there, and what aiokafka raises when no broker answers.

    One metadata request for all topics, which makes none, even on a broker that makes topics by itself.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers), request_timeout_ms=_PATIENCE_MS)
    try:
        await admin.start()
        there = set(await admin.list_topics())
    finally:
        await admin.close()
    if missing := sorted(set(topics) - there):
        raise TopicsMissing(f"these topics do not exist: {', '.join(missing)}. Run `lifemask migrate` first")
