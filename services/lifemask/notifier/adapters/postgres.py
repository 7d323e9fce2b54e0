"""The notifications' and reports' rows. Never purged: a fact that is read again tells nobody twice."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from lifemask.bus.asking import answer
from lifemask.bus.guarding import note
from lifemask.bus.rows import Connection, Rows
from lifemask.contracts import BY_TYPE, OPERATOR, Digest, RunId, SecurityReported, UserId, split_version
from lifemask.contracts.event import Baton
from lifemask.notifier.domain import (
    CUSTODY,
    Answered,
    Channel,
    Fact,
    Mailed,
    Notification,
    Pending,
    Reopened,
    Reported,
    Settled,
    State,
    Stopped,
    StoppedRun,
    Tried,
    report_id,
)

_PENDING = """
insert into notification (user_id, id, run_id, outcome, is_terminal, channel, fact, since)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (user_id, id) do nothing
"""
_TRIED = """
update notification set tries = $3, tried_at = now()
where user_id = $1 and id = $2 and state = 'pending' and tries = $3 - 1
"""
_SETTLED = """
update notification set tries = $3, state = $4, tried_at = now(), settled_at = now(), why = $5
where user_id = $1 and id = $2 and state = 'pending'
"""
_REPORTED = """
insert into report (user_id, id, fact, got_at) values ($1, $2, $3, $4) on conflict (user_id, id) do nothing
"""
_MAILED = "update report set mailed_at = now() where user_id = $1 and id = any($2::text[]) and mailed_at is null"
_REOPENED = """
update notification set state = 'pending', settled_at = null, why = null, resent_at = now()
where user_id = $1 and id = $2 and state <> 'pending'
"""


_STOPPED = """
select user_id, run_id from security
where reason = $1 and at >= $2 and reported_at is not null and run_id is not null order by id limit 100
"""


class PostgresReports:
    """Reads the reports that `write_row` stores."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def waiting(self, user_id: UserId) -> Sequence[SecurityReported]:
        query = "select fact from report where user_id = $1 and mailed_at is null order by got_at, id limit 100"
        async with self._rows.reading(user_id) as connection:
            return [SecurityReported.read(row["fact"]) for row in await connection.fetch(query, user_id)]

    async def stopped(self, since: datetime) -> Sequence[StoppedRun]:
        async with self._rows.reading(OPERATOR) as connection:
            found = await connection.fetch(_STOPPED, CUSTODY, since)
        return [StoppedRun(row["user_id"], row["run_id"]) for row in found]

    async def mailed_at(self, user_id: UserId) -> datetime | None:
        async with self._rows.reading(user_id) as connection:
            found: datetime | None = await connection.fetchval(
                "select max(mailed_at) from report where user_id = $1", user_id
            )
        return found


class PostgresNotifications:
    """Reads the rows that `write_row` stores."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def find(self, user_id: UserId, notification: Digest) -> Notification | None:
        async with self._rows.reading(user_id) as connection:
            row = await connection.fetchrow(
                "select * from notification where user_id = $1 and id = $2", user_id, notification
            )
        return _notification(row) if row else None

    async def is_over(self, user_id: UserId, run_id: RunId) -> bool:
        query = "select exists (select 1 from notification where user_id = $1 and run_id = $2 and is_terminal)"
        async with self._rows.reading(user_id) as connection:
            return bool(await connection.fetchval(query, user_id, run_id))


async def write_row(connection: Connection, row: object) -> None:
    """Stores a row of the domain inside the finishing transaction."""
    match row:
        case Answered(order=order, outcome=outcome):
            await answer(connection, order, outcome)
        case Stopped(fact=fact):
            kind, _ = split_version(fact.ce_type)
            await note(connection, fact.user_id, fact.run_id, kind=kind, content=CUSTODY, reason=CUSTODY)
        case _:
            await connection.execute(*_statement(row))


def _statement(row: object) -> tuple[Any, ...]:
    match row:
        case Pending(notification=pending):
            fact = pending.fact
            is_terminal = fact.baton is Baton.ENDS
            keys = (fact.user_id, pending.id, fact.run_id, fact.ce_type, is_terminal)
            return _PENDING, *keys, pending.channel.value, fact.body(), pending.since
        case Tried(user_id=user_id, id=id_, tries=tries):
            return _TRIED, user_id, id_, tries
        case Settled(user_id=user_id, id=id_, tries=tries, state=state, why=why):
            return _SETTLED, user_id, id_, tries, state.value, why and why.value
        case Reopened(user_id=user_id, id=id_):
            return _REOPENED, user_id, id_
        case Reported(report=report, got_at=got_at):
            return _REPORTED, report.user_id, report_id(report), report.body(), got_at
        case Mailed(user_id=user_id, ids=ids):
            return _MAILED, user_id, list(ids)
    raise TypeError(f"no such row: {type(row).__name__}")


def _notification(row: asyncpg.Record) -> Notification:
    fact = BY_TYPE[row["outcome"]].read(row["fact"])
    assert isinstance(fact, Fact)
    return Notification(
        row["id"],
        Channel(row["channel"]),
        fact,
        row["since"],
        row["tries"],
        State(row["state"]),
        row["resent_at"],
    )
