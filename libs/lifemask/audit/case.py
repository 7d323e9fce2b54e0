"""Everything that was found about one model, before anybody judges it. An offline audit has only `custody`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lifemask.contracts import Record
from lifemask.objects.keys import Key
from lifemask.objects.port import File

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hashed:
    """An object as it lies there now. `data` is kept of small documents only."""

    sha256: str
    size: int
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """An event of the run as it is kept somewhere: `where` is `outbox of trainer`, `inbox of ingest`, `Kafka`.

    `at` is when it was stored there, by the database's or the broker's clock. `kept_as`: the columns `msg_id`, `type`
    and `run_id` of an inbox's row, which say the same as the record.
    """

    where: str
    id: str
    at: datetime
    record: Record
    kept_as: Mapping[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class OnHub:
    """The repository on the hub. Digests are of bytes that were read; `head_weights` is what the hub itself says of the
    newest commit. `statements` are the files below `custody/`, by name.
    """

    repo: str
    private: bool
    weights: str | None
    head_weights: str | None
    card: str | None
    statements: Mapping[str, bytes]
    others: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One model. `statement` is the digest of the publication statement as events and rows name it, if any does.

    `custody` are the files of the run's custody folder, `objects` all others of the run and the model. `seen` is when
    ingest's database saw the news of the model. None: nobody has looked; for `hub`, see `hub_why`.
    """

    model: str
    user: str
    run: str
    attempt: int
    custody: Mapping[Key, File]
    statement: str | None = None
    objects: Mapping[Key, Hashed] | None = None
    rows: Mapping[str, Sequence[Row]] | None = None
    records: Sequence[SeenRecord] | None = None
    hub: OnHub | None = None
    hub_why: str = ""
    """Why nobody has looked at the hub; empty when somebody has."""
    seen: datetime | None = None
    apps: Mapping[str, Sequence[bytes]] | None = None
    """The public keys with which each app signs its uploads now."""
    others: Sequence[tuple[str, str]] = ()
    """Users and runs that rows name as the model's beside `user` and `run`."""
