"""What is left when everything is quiet: the facts on Kafka, the rows, the store, the provider's and hub's books."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from lifemask.contracts import split_version

RunKey = tuple[str, str]
"""User id on the bus, run id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One record of the event log. `kind` is the type without prefix and version: `run.accepted`."""

    kind: str
    user: str
    run: str | None
    at: datetime
    source: str = "lifemask/test"
    id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None
    raw: bytes = b""

    @property
    def key(self) -> RunKey:
        return self.user, self.run or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baton:
    """A stay of a run in one service."""

    service: str
    user: str
    run: str
    taken_at: datetime | None
    passed_at: datetime | None
    passed_as: str | None
    deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A training attempt in our books, and the trainings found for it. `path` is that of the archive's address."""

    user: str
    run: str
    number: int
    state: str
    stop: bool
    path: str
    booked: Mapping[str, Decimal | None]
    """Cost by training; None is not booked yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """A training in the provider's books. `photos` are the SHA-256 of the files in the archive it fetched."""

    id: str
    path: str
    is_over: bool
    succeeded: bool
    cost: Decimal
    photos: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What the chain proves about an archive: clean photos' digests, and whether each comes from the run's own."""

    clean: frozenset[str]
    originals: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The digests of one model's weights, wherever they lie. None where there is nothing."""

    stated: str | None
    store: str | None
    hub: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A row of the notifier."""

    id: str
    user: str
    run: str
    outcome: str
    channel: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A refusal or failure, as the API gave it to somebody."""

    asked: str
    status: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What the API told of a run's changes, each with its number: all of them, and those after the first `known` ones.

    `problem`: why it told nothing.
    """

    whole: tuple[tuple[int, str], ...] = ()
    known: int = 0
    rest: tuple[tuple[int, str], ...] = ()
    problem: str = ""


EventKey = tuple[str, str]
"""Source and id of an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """An event that a service is done with."""

    source: str
    id: str
    run: str = ""


@dataclass(slots=True, kw_only=True)
class History:
    """Everything the checker looks at."""

    facts: list[Fact] = field(default_factory=list)
    submitted: set[RunKey] = field(default_factory=set)
    batons: list[Baton] = field(default_factory=list)
    undone: dict[str, int] = field(default_factory=dict)
    """Messages to do, by service."""
    unsent: dict[str, int] = field(default_factory=dict)
    """Events not yet on Kafka, by service."""
    outbox: dict[str, int] = field(default_factory=dict)
    """All events ever kept for Kafka, by `ce_id`, with the number of services that have it."""
    dead: dict[str, int] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    billed: list[Billed] = field(default_factory=list)
    photos: dict[RunKey, set[str]] = field(default_factory=dict)
    """SHA-256 of the originals that ingest took for a run."""
    datasets: dict[RunKey, Dataset | str] = field(default_factory=dict)
    """By run whose dataset was sealed; a text says why the chain does not hold."""
    models: dict[str, RunKey] = field(default_factory=dict)
    """Models that ingest shows, with their run."""
    published: dict[str, Published | str] = field(default_factory=dict)
    """By model of which anything lies in the store or on the hub, or that was announced."""
    publishing: dict[RunKey, str] = field(default_factory=dict)
    """Model id that a run was about to get."""
    notices: list[Notice] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    """Message-IDs' local parts, one for each mail that arrived."""
    objects: set[str] = field(default_factory=set)
    """Keys of the store."""
    poisoned: dict[str, int] = field(default_factory=dict)
    """Dead letters that were provoked, by service."""
    audits: dict[str, str] = field(default_factory=dict)
    """What `lifemask audit` finds broken about a model that is published; empty for one that holds."""
    asked: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By user and idempotency key: the runs that it was answered with."""
    places_in_log: dict[EventKey, tuple[str, int]] = field(default_factory=dict)
    """Topic with partition, and the offset at which an event came first."""
    handled: dict[tuple[str, str], list[Handled]] = field(default_factory=dict)
    """By service and lane, in the order in which the service was done with them."""
    is_refilled: bool = False
    """Whether the log may be one that was filled again by an embedded broker: in the order of the outboxes, which may
    have been sent in another one when two runs of a user were under way."""
    streams: dict[RunKey, Stream] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    """The refusals and failures that people were shown."""
    strangers: list[Answer] = field(default_factory=list)
    """What people were told who asked for what is another's."""
    places: dict[str, bytes] = field(default_factory=dict)
    """What is not the store: Kafka, logs, spans."""
    canaries: dict[str, str] = field(default_factory=dict)
    """What must not stand there, by what it is."""


def trace_of(run: str) -> str:
    """As the design has it: the first 16 bytes of sha256(run id)."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def kind_of(ce_type: str) -> str:
    return split_version(ce_type)[0].removeprefix("lifemask.")


def body_of(value: bytes | None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(value or b"{}")
    return found
