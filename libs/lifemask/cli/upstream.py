"""What an upstream app does on Kafka: put photos into its incoming prefix, announce them, hear what becomes of them.

Nothing but aiokafka, the contracts and a store client.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from lifemask.bus.undecodable import tolerate
from lifemask.contracts import (
    BadEnvelope,
    PhotosUploaded,
    RunEvent,
    RunRequest,
    Topic,
    UnknownType,
    new_id,
    pack,
    parse,
    read_envelope,
    user_id,
)
from lifemask.contracts.signing import Signer, sign
from lifemask.objects import keys, open_objects

_FETCH_WAIT_MS: Final = 50
"""The embedded broker waits the full time before it answers."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """An app with a store and a Kafka. `brokers` is comma-separated."""

    app: str
    brokers: str
    prefix: str
    objects: str
    signer: Signer

    async def put(self, user: str, photos: Sequence[Path], request: Mapping[str, Any]) -> PhotosUploaded:
        """Puts the photos under names of ours, not the person's; returns what is to be announced."""
        run = new_id()
        names = tuple(f"{number:03}{photo.suffix.lower()}" for number, photo in enumerate(photos, 1))
        async with open_objects(self.objects) as objects:
            for name, photo in zip(names, photos, strict=True):
                await objects.put(keys.incoming(self.app, user, run, name), photo.read_bytes())
        return PhotosUploaded(
            user_id=user_id(self.app, user),
            run_id=run,
            upload=run,
            objects=names,
            request=RunRequest.model_validate(request),
        )

    async def announce(self, event: PhotosUploaded) -> None:
        """Publishes the event; the same again starts nothing twice."""
        packed = pack(event, id=event.run_id, source=f"app/{self.app}", time=datetime.now(UTC), prefix=self.prefix)
        record = sign(packed, self.signer)
        async with AIOKafkaProducer(bootstrap_servers=self.brokers.split(","), enable_idempotence=True) as producer:
            await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))

    async def hear(self, run: RunEvent) -> AsyncGenerator[tuple[RunEvent, datetime], None]:
        """Everything that is said of the run of this event, with when; endless, so it is to be closed."""
        tolerate()
        topics = [topic.named(self.prefix) for topic in Topic if topic is not Topic.DEAD_LETTERS]
        async with AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.brokers.split(","),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        ) as consumer:
            async for record in consumer:
                if record.key != run.user_id.encode():
                    continue
                try:
                    event, envelope = parse(record), read_envelope(record.headers)
                except (BadEnvelope, UnknownType):  # of a newer version
                    continue
                if isinstance(event, RunEvent) and event.run_id == run.run_id:
                    yield event, envelope.time or datetime.now(UTC)
