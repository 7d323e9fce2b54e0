"""A service without its broker: records go in, turns are taken one by one, the outbox is read. No sleeping."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from lifemask.bus.inbound import Raw
from lifemask.bus.outcomes import Keep, Later, OnEnd, Outcome, Reminder, Route, Turn, on
from lifemask.bus.rows import Connection, Pool
from lifemask.bus.service import Bus, Service
from lifemask.contracts import (
    DatasetSealed,
    Event,
    PhotoJudged,
    PhotosValidated,
    Record,
    RunCancelRequested,
    Stage,
    new_id,
)
from lifemask.contracts.signing import Signer, sign
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import an_event
from lifemask.testkit.keys import app_signer, signed, test_keys
from lifemask.testkit.outbox import said


class Nudge(Reminder):
    """A reminder of the lab's service."""

    ce_type: ClassVar[str] = "lifemask.lab.nudge.v1"

    note: str = ""


@dataclass
class Script:
    """The lab's handlers: what they saw, and what each is told to do next."""

    seen: list[Event | Reminder] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    """Raised by the next calls, first to last."""
    poison: set[str] = field(default_factory=set)
    """Users whose messages always fail as a bug."""
    outcomes: list[Sequence[Outcome]] = field(default_factory=list)
    """Returned by the next calls instead of the usual outcome."""
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None
    """When set, a handler waits for it: somebody is at work."""


async def seal(event: PhotosValidated, *, script: Script, turn: Turn) -> Sequence[Outcome]:
    return await _play(event, script, [an_event(DatasetSealed, **event.run)])


async def look(event: PhotoJudged, *, script: Script) -> Sequence[Outcome]:
    return await _play(event, script, [])


async def nudge(reminder: Nudge, *, script: Script) -> Sequence[Outcome]:
    return await _play(reminder, script, [])


async def _play(message: Event | Reminder, script: Script, usual: Sequence[Outcome]) -> Sequence[Outcome]:
    script.entered.set()
    if script.gate is not None:
        await script.gate.wait()
    if script.failures:
        raise script.failures.pop(0)
    if message.user_id in script.poison:
        raise ZeroDivisionError
    script.seen.append(message)
    return script.outcomes.pop(0) if script.outcomes else usual


ROUTES: tuple[Route, ...] = (on(PhotosValidated, seal, brings="run"), on(PhotoJudged, look), on(Nudge, nudge))


@dataclass(frozen=True)
class Note:
    """A domain row of the lab."""

    user_id: str
    text: str


async def write_note(connection: Connection, row: object) -> None:
    assert isinstance(row, Note)
    await connection.execute("insert into note (user_id, text) values ($1, $2)", row.user_id, row.text)


def note_the_end(ended: object) -> Sequence[Later | Keep]:
    user_id: str = ended.user_id  # type: ignore[attr-defined] # RunEnded; kept loose to stay a plain function
    return [
        Keep(Note(user_id, "ended")),
        Later(Nudge(user_id=user_id, note="after the end"), timedelta(0), control=True),
    ]


@dataclass
class Lab:
    """One process of the service; `another` makes a second one on the same database."""

    pool: Pool
    script: Script
    service: Service

    @classmethod
    def of(cls, pool: Pool, script: Script | None = None, on_end: OnEnd = note_the_end, **settings: object) -> "Lab":
        script = script or Script()
        bus = Bus("packager", Stage.PACKAGE, ServiceSettings.model_validate(settings), pool)
        return cls(pool, script, bus.serve(ROUTES, writer=write_note, on_end=on_end, script=script))

    async def receive(self, *events: Event, name: str | None = None) -> None:
        """Stores events as one batch, as the consumer does."""
        await self.service.intake.store([record(event, name) for event in events])

    async def turn(self) -> int:
        """Due reminders move, every ready lane gets one turn."""
        await self.service.timer.step()
        return await self.service.worker.step()

    async def settle(self) -> None:
        """Turns until nothing is ready."""
        while await self.turn():
            pass

    async def end_due(self) -> None:
        """The ender's one round."""
        for row in await self.pool.fetch("select user_id, run_id from baton"):
            await self.service.ender.end(row["user_id"], row["run_id"])

    async def time_passes(self) -> None:
        """Every lease and back-off is over, every reminder due."""
        await self.pool.execute("update lane set ready_at = now()")
        await self.pool.execute("update reminder set due_at = now()")

    async def deadline_comes(self) -> None:
        await self.pool.execute("update baton set deadline_at = now()")

    async def facts(self) -> list[Event]:
        """Events in the outbox, in order, dead-letter notices left out."""
        rows = await self.pool.fetch("select topic, headers, value from outbox order by id")
        return [said(row) for row in rows if not row["topic"].endswith("dead-letters")]

    async def kinds(self) -> list[str]:
        """Names of the events in the outbox."""
        return [type(fact).__name__ for fact in await self.facts()]

    async def count(self, condition: str) -> int:
        """Rows of the inbox."""
        return int(await self.pool.fetchval(f"select count(*) from inbox where {condition}"))

    async def cancel(self, run: dict[str, str]) -> None:
        await self.receive(an_event(RunCancelRequested, **run))


def record(event: Event, name: str | None = None) -> Raw:
    return raw(signed(event, id=name, time=datetime(2026, 1, 1, tzinfo=UTC)))


def resigned(one: Raw, *, key: bytes | None = None, value: bytes | None = None, **headers: bytes) -> Raw:
    """The record with other parts, signed again by whose key it is: true, whatever it says."""
    changed = tuple((name, headers.get(name, text or b"")) for name, text in one.headers)
    signer = signer_of(one)
    return raw(sign(Record(one.topic, key or one.key or b"", value or one.value or b"", changed), signer))


def signer_of(one: Raw) -> Signer:
    """The key of the source of a record."""
    kind, _, name = (dict(one.headers)["ce_source"] or b"").decode().partition("/")
    return app_signer(name) if kind == "app" else test_keys().signers[name]


def raw(packed: Record) -> Raw:
    """A record as it comes from Kafka."""
    return Raw(packed.topic, f"{packed.topic}/0/{new_id()}", packed.key, packed.value, list(packed.headers))


_MINE = "user_id = nullif(current_setting('lifemask.user', true), '')"
NOTES = f"""
create table note (user_id text not null check (user_id <> ''), text text not null,
                   at bigint generated always as identity);
alter table note enable row level security;
alter table note force row level security;
create policy own_rows on note using ({_MINE}) with check ({_MINE});
grant select, insert on note to lifemask_packager
"""
"""The lab's own domain table, protected as every domain table is."""
