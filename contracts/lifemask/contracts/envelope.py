"""CloudEvents 1.0 over Kafka in binary mode: attributes in headers, the event as the value, the user id as the key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

from lifemask.contracts.event import Event, RunEvent

CONTENT_TYPE: Final = "application/json"
Headers = Sequence[tuple[str, bytes]]
SomeHeaders = Iterable[tuple[str, bytes | None]]
"""Headers as they come in: Kafka allows null."""


class BadEnvelope(ValueError):
    """A required CloudEvents header is missing or unreadable. The text names the header, never its value."""


class Record(NamedTuple):
    """One Kafka record."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class HasFields(Protocol):
    """A record whose parts are attributes, as aiokafka's ConsumerRecord and our own."""

    @property
    def headers(self) -> SomeHeaders: ...

    @property
    def value(self) -> bytes | None: ...


class HasMethods(Protocol):
    """A record whose parts are methods, as confluent-kafka's Message; its value is typed for all its deserializers."""

    def headers(self) -> Any: ...

    def value(self) -> Any: ...


AnyRecord = HasFields | HasMethods


@dataclass(frozen=True, slots=True)
class Envelope:
    """The CloudEvents attributes of a record. A message's identity is (source, id)."""

    id: str
    source: str
    type: str
    time: datetime | None = None
    subject: str | None = None
    traceparent: str | None = None

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The Kafka headers; attributes without a value are left out."""
        pairs = {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_source": self.source,
            "ce_type": self.type,
            "ce_time": _timestamp(self.time) if self.time else None,
            "ce_subject": self.subject,
            "content-type": CONTENT_TYPE,
            "traceparent": self.traceparent,
        }
        return tuple((name, value.encode()) for name, value in pairs.items() if value is not None)


def pack(
    event: Event, *, id: str, source: str, time: datetime, traceparent: str | None = None, prefix: str = ""
) -> Record:
    """The Kafka record of an event. `time`, with a zone, is when the fact was stored; `prefix` the environment's."""
    subject = event.run_id if isinstance(event, RunEvent) else None
    envelope = Envelope(id=id, source=source, type=event.ce_type, time=time, subject=subject, traceparent=traceparent)
    return Record(event.topic.named(prefix), event.user_id.encode(), event.body(), envelope.headers())


def headers_of(record: AnyRecord) -> SomeHeaders:
    """The headers of a record; confluent-kafka says None when there are none."""
    found: Any = record.headers
    return (found() if callable(found) else found) or ()


def value_of(record: AnyRecord) -> bytes:
    """The value of a record; null, which is no event, is empty."""
    found: Any = record.value
    return (found() if callable(found) else found) or b""


def read_envelope(headers: SomeHeaders) -> Envelope:
    """The attributes of a record. Raises BadEnvelope when an attribute is missing, null, or not UTF-8."""
    found = {name.lower(): value for name, value in headers}
    return Envelope(
        id=_required(found, "ce_id"),
        source=_required(found, "ce_source"),
        type=_required(found, "ce_type"),
        time=_time(_optional(found, "ce_time")),
        subject=_optional(found, "ce_subject"),
        traceparent=_optional(found, "traceparent"),
    )


def _required(found: dict[str, bytes | None], name: str) -> str:
    if value := _optional(found, name):
        return value
    raise BadEnvelope(f"header {name} is missing or not readable")


def _optional(found: dict[str, bytes | None], name: str) -> str | None:
    value = found.get(name)
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return None


def _timestamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time and time.tzinfo else None
