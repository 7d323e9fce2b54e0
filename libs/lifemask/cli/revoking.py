"""How far a revocation is, read from the database; and the signed request that the services act on."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from lifemask.audit.problems import Unreachable
from lifemask.audit.records import open_database
from lifemask.bus.outcomes import Misconfigured
from lifemask.cli.installation import Installation
from lifemask.cli.stops import Missing
from lifemask.contracts import ModelRevocationRequested, Record, new_id, pack
from lifemask.contracts.signing import NotAuthentic, sign
from lifemask.keys.files import Keys, open_keys
from lifemask.keys.holders import OPERATOR_KEY
from lifemask.runtime.telemetry import current_traceparent

_LOOK: Final = """
select p.user_id, p.run_id, p.state, p.revoked_because, p.revoked_by,
    not exists (select from ingest.model m
        where m.user_id = p.user_id and m.model_id = p.model_id and m.revoked_at is null) as shown,
    not exists (select from trainer.attempt a
        where a.user_id = p.user_id and a.run_id = p.run_id and a.forgotten_at is null) as forgotten
from publisher.publication p where p.model_id = $1
"""
_SOURCE: Final = f"lifemask/{OPERATOR_KEY}"
_POLL: Final = 0.3
"""Seconds between two looks."""
_AGAIN: Final = 15.0
"""Seconds after which a request that nobody took is sent again, under the same id: it takes effect once."""
_KAFKA_PATIENCE: Final = 15.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model stands. `reason` and `actor` are those of the first revocation; `shown`: the API calls it revoked;
    `forgotten`: the provider holds nothing of it any more.
    """

    user_id: str
    run_id: str
    state: str
    reason: str | None
    actor: str | None
    shown: bool
    forgotten: bool

    @property
    def is_withdrawn(self) -> bool:
        """Whether the run ended without a model."""
        return self.state in {"withdrawing", "withdrawn"}

    @property
    def is_asked(self) -> bool:
        """Whether the publisher has taken the request."""
        return self.state in {"revoking", "revoked"}

    @property
    def missing(self) -> tuple[str, ...]:
        """What is still to be done, in words, the next first."""
        steps = {
            "the publisher takes the request": self.is_asked,
            "the model leaves store and hub": self.state == "revoked",
            "the API shows it as revoked": self.shown,
            "the provider deletes its version": self.forgotten,
        }
        return tuple(step for step, done in steps.items() if not done)


async def look(installation: Installation, model: str) -> Standing | None:
    """How the model stands now; None when nobody knows it. Raises Missing."""
    try:
        async with open_database(installation.database()) as connection:
            row = await connection.fetchrow(_LOOK, model)
    except Unreachable as problem:
        raise Missing(f"{problem.what} cannot be read: {problem.why}.", "Check LIFEMASK_POSTGRES.") from None
    return Standing(*row.values()) if row else None


async def carry_out(
    installation: Installation, event: ModelRevocationRequested, patience: float
) -> AsyncGenerator[Standing, None]:
    """Asks for the revocation unless that was done, and yields each new standing until all is done or `patience`
    (seconds) is over. Raises Missing.
    """
    record: Record | None = None
    ends, sent_at = time.monotonic() + patience, float("-inf")
    known: Standing | None = None
    while (standing := await look(installation, event.model_id)) is not None:
        if standing != known:
            yield standing
        known, now = standing, time.monotonic()
        if not standing.missing:
            return
        if not standing.is_asked and now - sent_at > _AGAIN:
            record = record or _signed(installation, event)
            await _publish(installation, record)
            sent_at = now
        elif now >= ends:
            return
        await asyncio.sleep(_POLL)


def _signed(installation: Installation, event: ModelRevocationRequested) -> Record:
    """The request by the operator's key, which the services must know. Raises Missing."""
    at = datetime.now(UTC)
    try:
        keys: Keys = open_keys(installation.key_folder(), OPERATOR_KEY, installation.keyring_root)
        keys.trust.for_event(event.ce_type, _SOURCE, keys.signer.keyid, at)
    except Misconfigured as problem:
        raise Missing(f"The operator's key cannot be used: {problem.detail}.", "Check LIFEMASK_KEYS.") from None
    except NotAuthentic as refused:
        raise Missing(
            f"The services would refuse the operator's key: {refused.reason}.",
            f"Give it a successor: `lifemask keys rotate {OPERATOR_KEY}`.",
        ) from None
    trace = current_traceparent(event.run_id)
    packed = pack(event, id=new_id(), source=_SOURCE, time=at, traceparent=trace, prefix=installation.topic_prefix)
    return sign(packed, keys.signer)


async def _publish(installation: Installation, record: Record) -> None:
    brokers = installation.kafka
    if brokers is None:
        raise Missing("I do not know where Kafka is.", "Set LIFEMASK_KAFKA, or start `lifemask up`.")
    producer = AIOKafkaProducer(bootstrap_servers=brokers.split(","), enable_idempotence=True, acks="all")
    try:
        async with asyncio.timeout(_KAFKA_PATIENCE):
            await producer.start()
            await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))
    except (KafkaError, OSError, TimeoutError):
        raise Missing(f"Kafka at {brokers} takes nothing: nothing was asked for.", "Start it, then again.") from None
    finally:
        await producer.stop()
