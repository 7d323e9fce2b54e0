"""An upstream app: puts objects into its incoming prefix and publishes events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.ingest.world import World, photo

from lifemask.bus.inbound import Raw
from lifemask.contracts import Event, RunEvent, new_id
from lifemask.contracts.uploads import PhotosUploaded
from lifemask.objects import keys
from lifemask.objects.local import LocalObjects
from lifemask.testkit.events import an_event
from lifemask.testkit.keys import signed

USER = "acme.u1"


def packed(event: Event, *, source: str | None = None, name: str | None = None, traceparent: str | None = None) -> Raw:
    """The event's record as an app writes it."""
    record = signed(event, id=name, source=source, traceparent=traceparent)
    return Raw(record.topic, f"{record.topic}/0/{new_id()}", record.key, record.value, list(record.headers))


@dataclass
class Upstream:
    """The app acme and its user u1."""

    world: World

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.world.folder)

    @property
    def incoming(self) -> list[str]:
        """Keys in the incoming prefix of all apps."""
        root = self.world.folder / "incoming"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    async def put(
        self, upload: str, photos: int = 12, others: Mapping[str, bytes | None] | None = None
    ) -> tuple[str, ...]:
        """So many photos and these objects (None: not there) under an upload's prefix; the names."""
        found: dict[str, bytes | None] = {f"{n:02}.jpg": photo(n) for n in range(photos)}
        found |= others or {}
        for name, content in found.items():
            if content is not None:
                await self.objects.put(keys.incoming("acme", "u1", upload, name), content)
        return tuple(found)

    async def publish(self, *events: Event, **how: Any) -> None:
        """The events come from Kafka and everything that follows at once is done."""
        await self.world.service.intake.store([packed(event, **how) for event in events])
        await self.world.settle()

    async def said(self) -> list[RunEvent]:
        """What ingest said of runs, photos left out."""
        return [
            fact
            for fact in await self.world.facts()
            if isinstance(fact, RunEvent) and not fact.ce_type.startswith("lifemask.photo.")
        ]

    async def security(self) -> list[tuple[str, str | None]]:
        """Reason and run of each entry."""
        rows = await self.world.service.bus.pool.fetch("select reason, run_id from security order by id")
        return [(row["reason"], row["run_id"]) for row in rows]


def uploaded(upload: str, names: tuple[str, ...], run: str | None = None, **changes: Any) -> PhotosUploaded:
    """The announcement of an upload of acme's user u1."""
    fields = {"user_id": USER, "run_id": run or new_id(), "upload": upload, "objects": names, **changes}
    return an_event(PhotosUploaded, **fields)
