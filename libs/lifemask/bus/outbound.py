"""What a handler's outcomes store: rows, reminders, events, and what becomes of the baton. One transaction, in order.

Lock order: lane row, inbox row (both by the caller), baton, the service's own rows, outbox.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lifemask.bus.inbound import CONTROL
from lifemask.bus.outcomes import Keep, Later, OnEnd, Outcome, RunEnded
from lifemask.bus.rows import Connection, Writer, act_for
from lifemask.bus.stored import coded
from lifemask.contracts import Baton, Envelope, Event, RunEvent
from lifemask.contracts.signing import Signer, sign_event
from lifemask.runtime.telemetry import current_traceparent


@dataclass(frozen=True, slots=True)
class Cause:
    """What the outcomes come from; event ids derive from it, so that a redelivery cannot mint a second fact."""

    user_id: str
    run_id: str | None
    input: str
    replays: int = 0

    def id(self, service: str, kind: str, position: int | str) -> str:
        """The id of the outcome of type `kind` at `position`."""
        parts = (service, kind, self.input, str(self.replays), str(position))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event as it waits for the relay; `held`: it is stored only if its run is here."""

    id: str
    topic: str
    key: str
    value: bytes
    headers: str
    held: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """Outcomes that are events only; `passes` hands the run on."""

    events: Sequence[OutboxRow]
    passes: RunEvent | None


async def refuse_to_save(_connection: Connection, row: object) -> None:
    """The writer of a service without rows."""
    raise TypeError(f"this service has no table for {type(row).__name__}")


def nothing_on_end(_ended: RunEnded) -> Sequence[Later | Keep]:
    """The end of a run leaves nothing to do for a service without outside acts."""
    return ()


@dataclass(frozen=True, slots=True)
class Outbound:
    """Stores outcomes for one service; each event is signed when it is stored."""

    service: str
    signer: Signer
    prefix: str
    writer: Writer
    on_end: OnEnd

    async def apply(self, connection: Connection, cause: Cause, outcomes: Sequence[Outcome]) -> bool:
        """Stores `outcomes`; returns whether the run's events among them were stored (False: the run is not here).

        Rows and reminders are stored in any case: money outlives the baton.
        """
        numbered = list(enumerate(outcomes))
        held = [outcome for outcome in outcomes if isinstance(outcome, RunEvent) and outcome.baton is not Baton.FREE]
        _refuse_strangers(cause, outcomes, held)
        last = next((event for event in held if event.baton in (Baton.PASSES, Baton.ENDS)), None)
        if last is not None:
            after = await self.pass_baton(connection, last)
            here = after is not None
            numbered += enumerate(after or (), len(numbered))
        else:
            here = not held or await lock_baton(connection, held[0].user_id, held[0].run_id)
        if not here:
            numbered = [(at, outcome) for at, outcome in numbered if outcome not in held]
        await self._store(connection, cause, numbered)
        return here

    def prepare(self, cause: Cause, outcomes: Sequence[Outcome]) -> Prepared | None:
        """Outcomes that need no transaction of their own, ready to be stored; None when these do."""
        passes: RunEvent | None = None
        for outcome in outcomes:
            if not isinstance(outcome, Event):
                return None
            if outcome.baton is not Baton.FREE:
                if passes is not None or outcome.baton is not Baton.PASSES or not isinstance(outcome, RunEvent):
                    return None
                passes = outcome
        _refuse_strangers(cause, outcomes, [passes] if passes else [])
        events = [
            (cause.id(self.service, event.ce_type, at), event)
            for at, event in enumerate(outcomes)
            if isinstance(event, Event)
        ]
        return Prepared(self._rows(events), passes)

    async def pass_baton(
        self, connection: Connection, event: RunEvent, *, ender: bool = False
    ) -> Sequence[Later | Keep] | None:
        """Marks the baton as passed by `event`, if the run is here; returns what a terminal fact leaves to do.

        None when the run is not here. A run that was asked to end is here for the ender only.
        """
        passed = await connection.fetchval(
            """update baton set passed_at = now(), passed_as = $3 where user_id = $1 and run_id = $2
               and taken_at is not null and passed_at is null and ($4 or cancel_requested_at is null) returning 1""",
            event.user_id,
            event.run_id,
            event.ce_type,
            ender,
        )
        if not passed:
            return None
        ended = RunEnded(event, event.user_id, event.run_id)
        return self.on_end(ended) if event.baton is Baton.ENDS else ()

    async def _store(self, connection: Connection, cause: Cause, numbered: Iterable[tuple[int, Outcome]]) -> None:
        events: list[tuple[str, Event]] = []
        acting = False
        for position, outcome in numbered:
            if isinstance(outcome, Keep):
                if not acting:
                    await act_for(connection, cause.user_id)
                    acting = True
                await self.writer(connection, outcome.row)
            elif isinstance(outcome, Later):
                await self._remind(connection, cause, position, outcome)
            else:
                events.append((cause.id(self.service, outcome.ce_type, position), outcome))
        await self.publish(connection, events)

    async def store(self, connection: Connection, cause: Cause, label: str, outcomes: Sequence[Later | Keep]) -> None:
        """Stores rows and reminders in the middle of a handler; `label` keeps their ids apart from the final ones."""
        await self._store(
            connection,
            Cause(cause.user_id, cause.run_id, f"{cause.input}\0{label}", cause.replays),
            enumerate(outcomes),
        )

    async def _remind(self, connection: Connection, cause: Cause, position: int, later: Later) -> None:
        message, name = later.message, cause.id(self.service, later.message.ce_type, position)
        lane = message.user_id + CONTROL if later.control else message.user_id
        value = message.model_dump_json().encode()
        await connection.execute(
            """insert into reminder (id, lane, user_id, run_id, type, due_at, value, headers)
               values ($1, $2, $3, $4, $5, now() + $6, $7, $8) on conflict (id) do nothing""",
            name,
            lane,
            message.user_id,
            message.run_id,
            message.ce_type,
            later.after,
            value,
            self.coded(name, lane, message.user_id, run_id=message.run_id, type=message.ce_type, value=value),
        )

    def coded(self, name: str, lane: str, user_id: str, *, run_id: str | None, type: str, value: bytes) -> str:
        """The headers of a reminder's row: without this service's signature its handler never sees it."""
        trace = [("traceparent", current_traceparent(run_id))]
        return coded(self.signer, trace, name=name, lane=lane, user_id=user_id, run_id=run_id, type=type, value=value)

    async def publish(self, connection: Connection, events: Sequence[tuple[str, Event]]) -> None:
        """Puts events, with their ids, into the outbox in this order."""
        if not events:
            return
        rows = self._rows(events)
        await connection.execute(
            """insert into outbox (msg_id, topic, key, value, headers)
               select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::jsonb[])
               on conflict (msg_id) do nothing""",
            [row.id for row in rows],
            [row.topic for row in rows],
            [row.key for row in rows],
            [row.value for row in rows],
            [row.headers for row in rows],
        )

    def _rows(self, events: Sequence[tuple[str, Event]]) -> list[OutboxRow]:
        now = datetime.now(UTC)  # informative only: the outbox row carries the database's time
        return [self._row(name, event, event.body(), now) for name, event in events]

    def _row(self, name: str, event: Event, body: bytes, now: datetime) -> OutboxRow:
        return OutboxRow(
            id=name,
            topic=event.topic.named(self.prefix),
            key=event.user_id,
            value=body,
            headers=self._headers(name, event, body, now),
            held=event.baton is not Baton.FREE,
        )

    def _headers(self, name: str, event: Event, body: bytes, now: datetime) -> str:
        run = event.run_id if isinstance(event, RunEvent) else None
        envelope = Envelope(
            id=name,
            source=f"lifemask/{self.service}",
            type=event.ce_type,
            time=now,
            subject=run,
            traceparent=current_traceparent(run),
        )
        signed = sign_event(envelope, event.user_id.encode(), body, self.signer)
        return json.dumps([[key, value.decode()] for key, value in (*envelope.headers(), *signed)])


def _refuse_strangers(cause: Cause, outcomes: Sequence[Outcome], held: Sequence[RunEvent]) -> None:
    """Nobody's message may speak about another user, or about the baton of another run. Raises ValueError."""
    spoken = [outcome.message if isinstance(outcome, Later) else outcome for outcome in outcomes]
    if any(one.user_id != cause.user_id for one in spoken if not isinstance(one, Keep)):
        raise ValueError("an outcome names another user than its message")
    if len({event.run_id for event in held} | ({cause.run_id} if held and cause.run_id else set())) > 1:
        raise ValueError("an outcome names another run than its message")


async def lock_baton(connection: Connection, user_id: str, run_id: str) -> bool:
    """Locks the run's baton; whether the run is here: taken, not passed on, and not asked to end.

    A run that was asked to end is the ender's: nobody else speaks about it any more.
    """
    return bool(
        await connection.fetchval(
            """select taken_at is not null and passed_at is null and cancel_requested_at is null
               from baton where user_id = $1 and run_id = $2 for update""",
            user_id,
            run_id,
        )
    )
