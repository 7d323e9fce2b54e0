"""Everything there is, in the database and outside, as the sweep compares it: ids, states, sizes, costs. Linear."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from lifemask.audit.case import Row
from lifemask.audit.provider import Training
from lifemask.bus.rows import Connection
from lifemask.objects.port import ObjectInfo, ObjectStore

RunId = tuple[str, str]
"""User and run."""
_QUERIES: Final = {
    "runs": """
        select user_id, run_id, over, created_at, facts->'end'->>'type' as ended_as,
               (facts->'end'->>'at')::timestamptz as ended_at from ingest.run
    """,
    "models": "select * from ingest.model",
    "publications": "select * from publisher.publication",
    "attempts": """
        select user_id, run_id, number, state, training, version, archive_url, intended_at from trainer.attempt
    """,
    "trainings": "select * from trainer.provider_training",
}


@dataclass(slots=True)
class Heap:
    """Objects of one folder taken together: how many, how many bytes, and when the oldest and newest were written."""

    objects: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, info: ObjectInfo) -> None:
        self.objects += 1
        self.bytes += info.bytes
        self.oldest = min(self.oldest or info.modified_at, info.modified_at)
        self.newest = max(self.newest or info.modified_at, info.modified_at)


@dataclass(slots=True)
class Store:
    """What lies in the object store. `folders`: by user, run and folder; `places`: by user, model and version."""

    folders: dict[tuple[str, str, str], Heap] = field(default_factory=dict)
    places: dict[tuple[str, str, str], Heap] = field(default_factory=dict)
    quarantined: dict[RunId, Heap] = field(default_factory=dict)
    incoming: dict[str, Heap] = field(default_factory=dict)
    """By upload."""
    others: dict[str, Heap] = field(default_factory=dict)
    """By key: what no part of Lifemask writes."""

    def add(self, info: ObjectInfo) -> None:
        match info.key.split("/"):
            case ["users", user, "runs", run, folder, *_]:
                self.folders.setdefault((user, run, folder), Heap()).add(info)
            case ["users", user, "models", model, place, _]:
                self.places.setdefault((user, model, place), Heap()).add(info)
            case ["users", _, "contact.json"] | ["disposals", _]:
                pass
            case ["quarantine", user, run, _]:
                self.quarantined.setdefault((user, run), Heap()).add(info)
            case ["incoming", app, user, upload, *_]:
                self.incoming.setdefault(f"{app}/{user}/{upload}", Heap()).add(info)
            case _:
                self.others.setdefault(info.key, Heap()).add(info)


@dataclass(frozen=True, slots=True)
class Rows:
    """What the services know, from one snapshot."""

    now: datetime
    runs: Mapping[RunId, Row]
    models: Sequence[Row]
    publications: Sequence[Row]
    attempts: Sequence[Row]
    trainings: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything. None where nobody looked: `unseen` says why. `began`: the database's time before anything was read.

    `broken` are the models whose chain does not hold, with the reason.
    """

    began: datetime
    rows: Rows
    store: Store
    trainings: Sequence[Training] | None
    versions: Sequence[str] | None
    repos: Sequence[str] | None
    broken: Mapping[str, str]
    unseen: Sequence[str] = ()


async def read_names(objects: ObjectStore) -> Store:
    """Every object's name, size and time."""
    store = Store()
    async for info in objects.list(""):
        store.add(info)
    return store


async def read_all_rows(connection: Connection) -> Rows:
    """Every row that explains something outside."""
    found: dict[str, list[dict[str, Any]]] = {
        name: [dict(row) for row in await connection.fetch(query)] for name, query in _QUERIES.items()
    }
    return Rows(
        now=await connection.fetchval("select now()"),
        runs={(row["user_id"], row["run_id"]): row for row in found["runs"]},
        models=found["models"],
        publications=found["publications"],
        attempts=found["attempts"],
        trainings=found["trainings"],
    )


def total(heaps: Iterable[Heap]) -> Heap:
    """Several heaps as one."""
    whole = Heap()
    for heap in heaps:
        whole.objects += heap.objects
        whole.bytes += heap.bytes
        whole.oldest = min(filter(None, (whole.oldest, heap.oldest)), default=None)
        whole.newest = max(filter(None, (whole.newest, heap.newest)), default=None)
    return whole
