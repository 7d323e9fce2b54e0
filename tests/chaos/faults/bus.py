"""Records as anybody with access to Kafka could send them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from tests.chaos.faults.house import House
from tests.system.reading import POISON

from lifemask.contracts import Event, Record, new_id, pack
from lifemask.contracts.signing import Signer, sign

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A record; headers may be null."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


async def send(home: House, records: Sequence[Sent]) -> None:
    """In this order."""
    async with AIOKafkaProducer(bootstrap_servers=home.kafka, enable_idempotence=True, acks="all") as producer:
        for one in records:
            await producer.send(one.topic, value=one.value, key=one.key, headers=list(one.headers))
        await producer.flush()


def poisoned(record: Record, *more: tuple[str, bytes | None]) -> Sent:
    """Marked, so that whoever reads the log takes it for no fact."""
    return Sent(record.topic, record.key, record.value, [*record.headers, (POISON, b"1"), *more])


def by(home: House, service: str, event: Event, *, value: bytes | None = None, version: int = 1) -> Record:
    """The event as that service signs it; with other bytes, or of another version, when these are given."""
    signer = Signer.load(home.data / "keys" / f"{service}.pem", service)
    packed = pack(event, id=new_id(), source=f"lifemask/{service}", time=datetime.now(UTC))
    kind = event.ce_type.removesuffix("v1") + f"v{version}"
    headers = tuple((name, kind.encode() if name == "ce_type" else content) for name, content in packed.headers)
    return sign(packed._replace(value=packed.value if value is None else value, headers=headers), signer)
