"""Lanes in SQL: intake, claim, renew, take, finish. One lane per user, in order; its epoch is the fence.

The forms of these statements were tried under kills, freezes and duplicates: change them only with that suite at hand.
Time is the database's everywhere.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lifemask.bus.inbound import CONTROL, Inbound
from lifemask.bus.rows import Connection


class Fenced(Exception):
    """The lane is no longer ours: another worker has it. What we did for it is dropped."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A lane that is ours until its lease runs out."""

    lane: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the inbox."""

    seq: int
    msg_id: str
    lane: str
    user_id: str
    run_id: str | None
    type: str
    topic: str
    value: bytes
    headers: str
    attempts: int
    claims: int
    replays: int
    got_at: datetime


async def intake(connection: Connection, rows: Sequence[Inbound], deadline: timedelta | None) -> int:
    """Stores a batch in the order of the log and takes the batons its messages bring; returns how many were new.

    Call inside a transaction. Lanes are locked in name order, so that two intakes cannot deadlock.
    """
    wanted = [row for row in rows if row.wanted]
    new = {record["msg_id"] for record in await connection.fetch(_INTAKE, *_columns(wanted))} if wanted else set()
    brought = {(row.user_id, row.run_id): row for row in reversed(wanted) if row.brings and row.msg_id in new}
    if brought:
        first = [brought[key] for key in sorted(brought, key=str)]
        await connection.execute(
            _TAKE_BATON,
            [row.user_id for row in first],
            [row.run_id for row in first],
            [row.msg_id for row in first],
            [row.headers for row in first],
            deadline,
        )
    if canceled := sorted({(row.user_id, row.run_id) for row in rows if row.cancels}, key=str):
        await connection.execute(_CANCEL, [user for user, _ in canceled], [run for _, run in canceled])
    return len(new)


def _columns(rows: Sequence[Inbound]) -> list[list[Any]]:
    names = ("msg_id", "lane", "user_id", "run_id", "type", "topic", "value", "headers")
    return [[getattr(row, name) for row in rows] for name in names]


_INTAKE = """
with input as (
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[],
                         $8::jsonb[])
        with ordinality as t (msg_id, lane, user_id, run_id, type, topic, value, headers, o)
), new as (
    insert into inbox (msg_id, lane, user_id, run_id, type, topic, value, headers)
    select msg_id, lane, user_id, run_id, type, topic, value, headers from input order by o
    on conflict (msg_id) do nothing
    returning msg_id, lane
), counted as (
    insert into lane (lane, todo) select lane, count(*) from new group by lane order by lane
    on conflict (lane) do update set todo = lane.todo + excluded.todo
)
select msg_id from new
"""

_TAKE_BATON = """
insert into baton (user_id, run_id, brought_by, headers, taken_at, deadline_at)
select user_id, run_id, msg_id, headers, now(), now() + $5::interval
from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) as t (user_id, run_id, msg_id, headers)
on conflict (user_id, run_id) do update
set brought_by = excluded.brought_by, headers = excluded.headers, taken_at = excluded.taken_at,
    deadline_at = excluded.deadline_at
where baton.taken_at is null
"""

_CANCEL = """
insert into baton (user_id, run_id, cancel_requested_at)
select user_id, run_id, now() from unnest($1::text[], $2::text[]) as t (user_id, run_id)
on conflict (user_id, run_id) do update set cancel_requested_at = coalesce(baton.cancel_requested_at, now())
"""


async def differing(connection: Connection, rows: Sequence[Inbound]) -> list[Inbound]:
    """The rows whose identity is stored with other bytes: somebody used an identity twice."""
    records = await connection.fetch(
        """select t.o from unnest($1::text[], $2::bytea[]) with ordinality as t (msg_id, value, o)
           join inbox i using (msg_id) where i.value <> t.value order by t.o""",
        [row.msg_id for row in rows],
        [row.value for row in rows],
    )
    return [rows[record["o"] - 1] for record in records]


async def claim(connection: Connection, free: int, lease: timedelta, *, control_only: bool) -> list[Claimed]:
    """Takes up to `free` lanes that have work and are ready; each gets a new epoch and a lease."""
    records = await connection.fetch(
        """update lane set ready_at = now() + $2, epoch = epoch + 1
           where lane in (
               select lane from lane where todo > 0 and ready_at <= now() and (not $3 or lane like $4)
               order by ready_at limit $1 for update skip locked)
           returning lane, epoch""",
        free,
        lease,
        control_only,
        "%" + CONTROL,
    )
    return [Claimed(record["lane"], record["epoch"]) for record in records]


async def renew(connection: Connection, claimed: Sequence[Claimed], lease: timedelta) -> set[str]:
    """Renews the leases of lanes at work; returns the lanes that are still ours."""
    records = await connection.fetch(
        """update lane set ready_at = now() + $3 from unnest($1::text[], $2::bigint[]) as t (name, fence)
           where lane = t.name and epoch = t.fence returning lane""",
        [one.lane for one in claimed],
        [one.epoch for one in claimed],
        lease,
    )
    return {record["lane"] for record in records}


async def take(connection: Connection, claimed: Claimed) -> Message | None:
    """The lane's next message, its claim counted; None when nothing is left or the lane is not ours."""
    record = await connection.fetchrow(
        """update inbox set claims = claims + 1
           where seq = (select seq from inbox where lane = $1 and done_at is null and dead_at is null
                        order by seq limit 1)
             and exists (select 1 from lane where lane = $1 and epoch = $2)
           returning seq, msg_id, lane, user_id, run_id, type, topic, value, headers, attempts, claims, replays,
                     got_at""",
        claimed.lane,
        claimed.epoch,
    )
    return Message(**record) if record else None


async def lock(connection: Connection, claimed: Claimed) -> None:
    """Locks the lane's row; raises Fenced when the lane is not ours any more."""
    if not await connection.fetchval(
        "select 1 from lane where lane = $1 and epoch = $2 for update", claimed.lane, claimed.epoch
    ):
        raise Fenced


async def finish(connection: Connection, claimed: Claimed, message: Message) -> None:
    """Marks the message as done, first in the transaction: takes the lane's lock and checks the fence at once."""
    await _count_down(connection, claimed)
    if not await connection.fetchval(
        "update inbox set done_at = now() where seq = $1 and done_at is null and dead_at is null returning 1",
        message.seq,
    ):
        raise Fenced


async def bury(connection: Connection, claimed: Claimed, message: Message, error: Mapping[str, Any]) -> None:
    """Marks the message as a dead letter with the error of its last attempt, first in the transaction."""
    await _count_down(connection, claimed)
    if not await connection.fetchval(
        """update inbox set dead_at = now(), attempts = attempts + 1, error = coalesce(error, '[]') || $2::jsonb
           where seq = $1 and done_at is null and dead_at is null returning 1""",
        message.seq,
        json.dumps([error]),
    ):
        raise Fenced


async def _count_down(connection: Connection, claimed: Claimed) -> None:
    if not await connection.fetchval(
        "update lane set todo = todo - 1 where lane = $1 and epoch = $2 returning 1", claimed.lane, claimed.epoch
    ):
        raise Fenced


async def fail(connection: Connection, message: Message, error: Mapping[str, Any]) -> None:
    """Counts a failed attempt and keeps its error. Call after `lock`, in the same transaction."""
    await connection.execute(
        "update inbox set attempts = attempts + 1, error = coalesce(error, '[]') || $2::jsonb where seq = $1",
        message.seq,
        json.dumps([error]),
    )


async def unclaim(connection: Connection, message: Message) -> None:
    """Takes a claim back: the message was not worked on, for a reason that is not its own."""
    await connection.execute("update inbox set claims = claims - 1 where seq = $1 and claims > 0", message.seq)


async def free(connection: Connection, claimed: Claimed, delay: timedelta) -> None:
    """Gives the lane back; it is ready again after `delay`."""
    await connection.execute(
        "update lane set ready_at = now() + $3 where lane = $1 and epoch = $2", claimed.lane, claimed.epoch, delay
    )


async def promote(connection: Connection, limit: int) -> int:
    """Moves due reminders into their lanes; returns how many."""
    return int(
        await connection.fetchval(
            """with due as (
                   delete from reminder where id in (
                       select id from reminder where due_at <= now() order by due_at limit $1 for update skip locked)
                   returning *
               ), new as (
                   insert into inbox (msg_id, lane, user_id, run_id, type, topic, value, headers)
                   select id, lane, user_id, run_id, type, 'reminder', value, headers from due order by due_at, id
                   on conflict (msg_id) do nothing
                   returning lane
               ), counted as (
                   insert into lane (lane, todo) select lane, count(*) from new group by lane order by lane
                   on conflict (lane) do update set todo = lane.todo + excluded.todo
               )
               select count(*) from due""",
            limit,
        )
    )
