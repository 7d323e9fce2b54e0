"""The Kafka side of the intake: one FastStream batch subscriber per service.

Nothing is injected but the raw message, and nothing is decoded: each would cost more than the whole intake. Headers are
repaired before FastStream sees them, because one null header would lose the whole batch.

FastStream says nothing of a poll that raises, and polls again. What raises is watched here: see `_polled_badly`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace as with_changes
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from lifemask.bus.closing import close
from lifemask.bus.inbound import Raw
from lifemask.bus.undecodable import gap_in, tolerate
from lifemask.runtime.settings import ServiceSettings

log = structlog.get_logger()

_STOP_SECONDS = 2.0
"""For a batch that is being stored when the service stops, and once more to take leave of the group."""
_LOOK_MS: Final = 1000
"""How long a poll may wait for records: so often it is noted that a broker answers."""
_SAME_ERRORS: Final = 5
"""So often may Kafka say the same error before the process ends; FastStream pauses for 5 to 15 s after each."""
_FORGIVEN_AFTER: Final = 120.0
"""Seconds without it after which an error counts as new."""

Records = tuple[ConsumerRecord, ...]
StoreBatch = Callable[[Sequence[Raw]], Awaitable[None]]


class Consumer:
    """Reads a service's topics and hands batches to `store`; acknowledges what was stored.

    When parsing or storing fails, `failed` is set and nothing is acknowledged any more (an acknowledgement commits all
    that was polled, the failed batch too): the process must end, and the records come again to the next one.

    A group needs at least as many partitions as members: one without partitions looks like one that hangs.
    """

    def __init__(self, group: str, topics: Sequence[str], settings: ServiceSettings, store: StoreBatch) -> None:
        self._store = store
        self._settings = settings
        self._broker = KafkaBroker(
            settings.brokers,
            client_id=f"lifemask-{group}",
            request_timeout_ms=settings.kafka_request_timeout_ms,
            allow_auto_create_topics=False,
            logger=None,
            graceful_timeout=_STOP_SECONDS,
        )
        self._subscriber = self._broker.subscriber(
            *topics,
            batch=True,
            group_id=group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            parser=self._parse,
            decoder=_leave_raw,
            max_records=settings.kafka_batch,
            batch_timeout_ms=_LOOK_MS,
            fetch_max_wait_ms=settings.kafka_fetch_wait_ms,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_ms,
            no_reply=True,
        )
        self._subscriber(self._handle)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.polled_at = time.monotonic()
        """When a broker last answered a fetch (seconds of the monotonic clock); an empty answer counts."""
        self._newest = 0
        self._errors: dict[str, tuple[int, float]] = {}
        tolerate()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consumes while the block runs."""
        try:
            await self._broker.start()
            self._watch_polls()
            yield
        finally:
            await close("consumer", self._broker.stop(), 2 * _STOP_SECONDS)  # else its session runs out

    async def _parse(self, records: Records, parse: Callable[[Records], Awaitable[KafkaMessage]]) -> KafkaMessage:
        try:
            return await tolerant(records, parse)
        except Exception as problem:
            self._fail(problem)
            raise

    async def _handle(self, _body: Any, message: KafkaMessage) -> None:
        if self.failed.done():
            return
        records = message.raw_message if isinstance(message.raw_message, tuple) else (message.raw_message,)
        try:
            await self._store([raw(record) for record in records])
        except Exception as problem:
            self._fail(problem)
            raise
        await message.ack()

    def _fail(self, problem: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(problem)

    def _polled_badly(self, problem: Exception) -> None:
        """Ends the process for what no broker said, and for an error of a broker's that does not go away.

        When records cannot be taken apart, what was polled of other partitions in the same moment is lost with the
        poll: it may not be acknowledged by a later batch, but comes again to the next process.
        """
        what, now = f"{type(problem).__name__}: {problem}", time.monotonic()
        times, last = self._errors.get(what, (0, now))
        times = 1 if now - last > _FORGIVEN_AFTER else times + 1
        self._errors[what] = (times, now)
        log.error("poll_failed", error=type(problem).__name__, times=times)
        said = isinstance(problem, KafkaError) and not isinstance(problem, CorruptRecordException)
        if not said or times >= _SAME_ERRORS:
            self._fail(problem)

    def _watch_polls(self) -> None:
        consumer = self._subscriber.consumer
        if consumer is None:
            raise RuntimeError("the Kafka consumer did not start")
        poll = consumer.getmany

        async def watched(*args: Any, **kwargs: Any) -> Any:
            """Ends with records alone: FastStream sleeps after an empty poll, and what comes meanwhile waits."""
            found = None
            while not found:
                try:
                    found = await poll(*args, **kwargs)
                except ConsumerStoppedError:
                    raise
                except Exception as problem:
                    self._polled_badly(problem)
                    raise
                answered = [consumer.last_poll_timestamp(partition) or 0 for partition in consumer.assignment()]
                if (newest := max(answered, default=0)) != self._newest:
                    self._newest = newest
                    self.polled_at = time.monotonic()
            return found

        consumer.getmany = watched


async def tolerant(records: Records, parse: Callable[[Records], Awaitable[KafkaMessage]]) -> KafkaMessage:
    """Parses a batch without its headers, which may be null or no text; the raw records stay as they came."""
    message = await parse(tuple(with_changes(record, headers=()) for record in records))
    message.raw_message = records
    return message


async def _leave_raw(message: KafkaMessage) -> Any:
    return message.body


def raw(record: ConsumerRecord) -> Raw:
    """The parts of a Kafka record that the inbox keeps, or what is known of those that cannot be read."""
    if (gap := gap_in(record.headers)) is not None:
        place = f"{record.topic}/{record.partition}/{gap.value.decode()}"
        log.error("batch_undecodable", place=place, error=gap.name)
        return Raw(record.topic, place, None, None, (("error", gap.name.encode()),), decodable=False)
    return Raw(
        topic=record.topic,
        place=f"{record.topic}/{record.partition}/{record.offset}",
        key=record.key,
        value=record.value,
        headers=record.headers,
    )
