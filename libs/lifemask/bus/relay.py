"""The relay publishes the outbox in order. One leader per service, by an advisory lock.

A crash between send and mark sends again: the receiver's inbox knows the identity.
"""

import asyncio
from dataclasses import dataclass

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer

from lifemask.bus.closing import close
from lifemask.bus.inbound import headers_bytes
from lifemask.bus.rows import Connection, session
from lifemask.bus.signals import Signals
from lifemask.runtime.settings import ServiceSettings

log = structlog.get_logger()

_BATCH = 500
"""Events sent and marked together."""
_STOP_SECONDS = 1.0
"""What is not sent now is sent by the next leader: no reason to wait long for a broker that is away."""
_LEADER_POLL = 1.0
"""Seconds between two tries to become the leader."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Publishes one service's outbox. A connection of its own holds the lock, so that losing it is noticed.

    A database that is silent for as long as the watchdog waits counts as lost: nobody else would notice it there.
    """

    schema: str
    settings: ServiceSettings
    signals: Signals

    async def run(self) -> None:
        """Leads and publishes until cancelled. Ends with an exception when the connection or the broker is lost."""
        settings, patience = self.settings, self.settings.watchdog
        connection = await asyncpg.connect(
            settings.postgres, server_settings=session(self.schema), timeout=patience, command_timeout=patience
        )
        try:
            await self._lead(connection)
            await self._refill(connection)
            producer = AIOKafkaProducer(
                bootstrap_servers=settings.brokers,
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                max_batch_size=262_144,
                request_timeout_ms=settings.kafka_request_timeout_ms,
            )
            try:
                await producer.start()
                await self._publish(connection, producer)
            finally:
                await close("producer", producer.stop(), _STOP_SECONDS)
        finally:
            connection.terminate()  # gives the lock up at once; nothing is under way in it

    async def _lead(self, connection: Connection) -> None:
        lock = f"relay {self.schema}"
        while not await connection.fetchval("select pg_try_advisory_lock(hashtext($1))", lock):  # noqa: ASYNC110  in SQL
            await asyncio.sleep(_LEADER_POLL)

    async def _refill(self, connection: Connection) -> None:
        """An embedded broker is empty at every start: the history is published again, so that its topics are whole."""
        broker = self.settings.broker_id
        if not broker:
            return
        known = await connection.fetchval("select id from broker")
        if known == broker:
            return
        async with connection.transaction():
            await connection.execute("update outbox set sent_at = null where sent_at is not null")
            await connection.execute(
                "insert into broker (id) values ($1) on conflict (one) do update set id = excluded.id", broker
            )
        if known is not None:
            log.info("outbox_republished", broker=broker)

    async def _publish(self, connection: Connection, producer: AIOKafkaProducer) -> None:
        while True:
            self.signals.outbox.clear()
            rows = await connection.fetch(
                "select id, topic, key, value, headers from outbox where sent_at is null order by id limit $1", _BATCH
            )
            if not rows:
                await self.signals.wait(self.signals.outbox, self.settings.poll)
                continue
            sent = [await _send(producer, row) for row in rows]
            await asyncio.gather(*sent)
            await connection.execute(
                "update outbox set sent_at = now() where id = any($1)", [row["id"] for row in rows]
            )


async def _send(producer: AIOKafkaProducer, row: asyncpg.Record) -> "asyncio.Future[object]":
    sent: asyncio.Future[object] = await producer.send(
        row["topic"], value=row["value"], key=row["key"].encode(), headers=headers_bytes(row["headers"])
    )
    return sent
