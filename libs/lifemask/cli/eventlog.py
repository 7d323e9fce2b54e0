"""The event log on Kafka, read from its beginning or as it grows. Nothing is committed: a reader leaves no trace."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from lifemask.bus.undecodable import tolerate
from lifemask.cli.stops import Missing
from lifemask.contracts import BY_TYPE, BadEnvelope, Topic, read_envelope, split_version

_PATIENCE: Final = 15.0
"""Seconds for a broker to answer."""
_FETCH_WAIT_MS: Final = 50
"""The embedded broker waits the full time before it answers."""
_RANKS: Final = {ce_type: rank for rank, ce_type in enumerate(BY_TYPE)}
_SHOWN_LENGTH: Final = 12
_HEX: Final = frozenset("0123456789abcdef-")


@dataclass(frozen=True, slots=True)
class Logged:
    """One record. Its body is shown as it came, so that types of a newer version are shown as well."""

    topic: str
    user_id: str
    type: str
    source: str
    id: str
    time: datetime | None
    run_id: str | None
    facts: dict[str, Any]

    @property
    def short_type(self) -> str:
        """`dataset.sealed` of `lifemask.dataset.sealed.v1`."""
        return split_version(self.type)[0].removeprefix("lifemask.")

    @property
    def facts_line(self) -> str:
        """The facts in a line; digests and ids by their first characters."""
        shown = ((name, _short(value)) for name, value in self.facts.items() if value not in ([], "", None))
        return "  ".join(f"{name}={value}" for name, value in shown)

    def as_fields(self) -> dict[str, Any]:
        """For a JSON line."""
        return {
            "time": self.time.isoformat() if self.time else None,
            "type": self.type,
            "source": self.source,
            "id": self.id,
            "user_id": self.user_id,
            "run_id": self.run_id,
            "topic": self.topic,
            "facts": self.facts,
        }


class EventLog:
    """The topics of one environment on one Kafka. `brokers` is comma-separated."""

    def __init__(self, brokers: str, prefix: str = "") -> None:
        self._brokers = brokers
        self._servers = [broker.strip() for broker in brokers.split(",")]
        self._topics = [topic.named(prefix) for topic in Topic]

    async def read(self, wanted: Callable[[Logged], bool] = lambda _: True) -> list[Logged]:
        """All records up to now, in order of time. Raises Missing when Kafka or the topics are not there."""
        found = list[Logged]()
        async with self._consumer() as (consumer, partitions):
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            waiting = {place for place in partitions if ends[place] > await consumer.position(place)}
            while waiting:
                batch = await consumer.getmany(*waiting, timeout_ms=500)
                found += [event for records in batch.values() for record in records if wanted(event := _logged(record))]
                waiting = {place for place in waiting if await consumer.position(place) < ends[place]}
        return sorted(found, key=_order)

    async def follow(self, *, from_beginning: bool = False) -> AsyncGenerator[Logged, None]:
        """Records as they come; endless, so it is to be closed."""
        async with self._consumer() as (consumer, partitions):
            if from_beginning:
                await consumer.seek_to_beginning(*partitions)
            else:
                await consumer.seek_to_end(*partitions)
            async for record in consumer:
                yield _logged(record)

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        tolerate()
        places = await self._places()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        try:
            await consumer.start()
            consumer.assign(places)
            yield consumer, places
        finally:
            await consumer.stop()

    async def _places(self) -> list[TopicPartition]:
        """All partitions of our topics; asked of all topics, because asking by name may create one."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        try:
            async with asyncio.timeout(_PATIENCE):
                await admin.start()
                described = await admin.describe_topics()
        except (KafkaError, TimeoutError, OSError):
            raise Missing(
                f"No Kafka answers at {self._brokers}.",
                "Start it with `lifemask up`, or set LIFEMASK_KAFKA to where it is.",
            ) from None
        finally:
            await admin.close()
        places = [
            TopicPartition(found["topic"], each["partition"])
            for found in described
            if found["topic"] in self._topics
            for each in found["partitions"]
        ]
        if not places:
            raise Missing(f"Kafka at {self._brokers} has none of our topics.", "Run `lifemask migrate` once.")
        return places


def _logged(record: ConsumerRecord) -> Logged:
    user = record.key.decode(errors="replace") if record.key else ""
    try:
        envelope = read_envelope(record.headers)
    except BadEnvelope:
        at = datetime.fromtimestamp(record.timestamp / 1000).astimezone()
        return Logged(record.topic, user, "(no CloudEvent)", "?", "", at, None, {"bytes": len(record.value or b"")})
    facts = _facts(record.value)
    return Logged(
        topic=record.topic,
        user_id=user,
        type=envelope.type,
        source=envelope.source,
        id=envelope.id,
        time=envelope.time,
        run_id=envelope.subject,
        facts={name: value for name, value in facts.items() if name not in {"user_id", "run_id"}},
    )


def _facts(value: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(value or b"{}")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"bytes": len(value or b"")}


def _order(event: Logged) -> tuple[float, int]:
    """By time; facts of one millisecond in the order in which a run has them."""
    return (event.time.timestamp() if event.time else 0.0, _RANKS.get(event.type, len(_RANKS)))


def _short(value: Any) -> str:
    if isinstance(value, str):
        return _short_text(value)
    if isinstance(value, dict):
        return str(value.get("code") or ",".join(f"{key}:{each}" for key, each in value.items()))
    if isinstance(value, list):
        return ",".join(map(str, value)) if all(isinstance(each, str) for each in value) else f"[{len(value)}]"
    return json.dumps(value)


def _short_text(text: str) -> str:
    """A digest by its first, an id by its last characters; other long text is cut."""
    if len(text) == 36 and _HEX.issuperset(text):
        return f"…{text[-_SHOWN_LENGTH:]}"
    if len(text) >= 40 and _HEX.issuperset(text):
        return f"{text[:_SHOWN_LENGTH]}…"
    return text if len(text) <= 120 else f"{text[:119]}…"
