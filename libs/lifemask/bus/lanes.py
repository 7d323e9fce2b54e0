"""Lanes in SQL: intake, claim, renew, take, finish. One lane per user, in order; its epoch is the fence.

The forms of these statements were tried under kills, freezes and duplicates: change them only with that suite at hand.
Time is the database's everywhere. Statements that lock several lanes or batons lock them in the order of their names.
Rows are found by `= any(…)` where a join would do: a plan is kept, also one made while the tables were empty, and then
a join may be one that reads the whole table.

A lane's row is kept for ever (some 60 bytes a user): its epoch is the fence, and a row made anew would start at epochs
that a frozen worker may still hold. The row goes when its user is erased.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from lifemask.bus.inbound import CONTROL, Inbound
from lifemask.bus.rows import Connection

REMINDER: Final = "reminder"
"""Topic of a reminder that fell due."""


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


MESSAGE = "seq, msg_id, lane, user_id, run_id, type, topic, value, headers, attempts, claims, replays, got_at"
"""Columns of a `Message`."""


async def intake(connection: Connection, rows: Sequence[Inbound], deadline: timedelta | None) -> int:
    """Stores a batch in the order of the log and takes the batons its messages bring; returns how many were new.

    Call inside a transaction. Kafka gives no order across topics, so rows may be sorted by lane and topic: two intakes
    with the same records (a rebalance) then lock rows, lanes and batons in the same order and cannot deadlock.
    """
    wanted = sorted((row for row in rows if row.wanted), key=lambda row: (row.lane, row.topic))
    new = {record["msg_id"] for record in await connection.fetch(_INTAKE, *_columns(wanted))} if wanted else set()
    brought = {(row.user_id, row.run_id): row for row in reversed(wanted) if row.brings and row.msg_id in new}
    canceled = {(row.user_id, row.run_id) for row in rows if row.cancels}
    if batons := sorted(brought.keys() | canceled, key=str):
        bringing = [brought.get(baton) for baton in batons]
        await connection.execute(
            _BATONS,
            [user for user, _ in batons],
            [run for _, run in batons],
            [row and row.msg_id for row in bringing],
            [row.headers if row else "{}" for row in bringing],
            [baton in canceled for baton in batons],
            deadline,
        )
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

_BATONS = """
insert into baton (user_id, run_id, brought_by, headers, taken_at, deadline_at, cancel_requested_at)
select user_id, run_id, msg_id, headers,
       case when msg_id is not null then now() end,
       case when msg_id is not null then now() + $6::interval end,
       case when canceled then now() end
from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::boolean[])
    as t (user_id, run_id, msg_id, headers, canceled)
on conflict (user_id, run_id) do update
set brought_by = case when baton.taken_at is null then excluded.brought_by else baton.brought_by end,
    headers = case when baton.taken_at is null then excluded.headers else baton.headers end,
    deadline_at = case when baton.taken_at is null then excluded.deadline_at else baton.deadline_at end,
    taken_at = coalesce(baton.taken_at, excluded.taken_at),
    cancel_requested_at = coalesce(baton.cancel_requested_at, excluded.cancel_requested_at)
"""


async def differing(connection: Connection, rows: Sequence[Inbound]) -> list[Inbound]:
    """The rows whose identity is stored with other bytes: somebody used an identity twice."""
    records = await connection.fetch(
        """select t.o from unnest($1::text[], $2::bytea[]) with ordinality as t (msg_id, value, o)
           join inbox i using (msg_id) where i.msg_id = any($1) and i.value <> t.value order by t.o""",
        [row.msg_id for row in rows],
        [row.value for row in rows],
    )
    return [rows[record["o"] - 1] for record in records]


async def claim(connection: Connection, free: int, lease: timedelta, *, control_only: bool) -> list[Claimed]:
    """Takes up to `free` lanes that have work and are ready; each gets a new epoch and a lease."""
    records = await connection.fetch(
        """update lane set ready_at = now() + $2, epoch = epoch + 1
           where lane = any(array(
               select lane from lane where todo > 0 and ready_at <= now() and (not $3 or lane like $4)
               order by ready_at limit $1 for update skip locked))
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
        """with ours as (
               select lane from lane join unnest($1::text[], $2::bigint[]) as t (name, fence)
               on lane = t.name and epoch = t.fence where lane = any($1) order by lane for update of lane)
           update lane set ready_at = now() + $3 where lane = any(array(select lane from ours)) returning lane""",
        [one.lane for one in claimed],
        [one.epoch for one in claimed],
        lease,
    )
    return {record["lane"] for record in records}


async def take(connection: Connection, claimed: Sequence[Claimed]) -> dict[str, Message]:
    """The next message of each of these lanes, its claim counted; none where nothing is left or the lane is lost."""
    records = await connection.fetch(_TAKE, [one.lane for one in claimed], [one.epoch for one in claimed])
    return {record["lane"]: Message(**record) for record in records}


_TAKE = f"""
update inbox set claims = claims + 1
where seq in (select (select seq from inbox where inbox.lane = t.lane and done_at is null and dead_at is null
                      order by seq limit 1)
              from unnest($1::text[], $2::bigint[]) as t (lane, epoch)
              where exists (select 1 from lane where lane.lane = t.lane and lane.epoch = t.epoch))
returning {MESSAGE}
"""  # noqa: S608  a constant


async def lock(connection: Connection, claimed: Claimed) -> None:
    """Locks the lane's row; raises Fenced when the lane is not ours any more."""
    if not await connection.fetchval(
        "select 1 from lane where lane = $1 and epoch = $2 for update", claimed.lane, claimed.epoch
    ):
        raise Fenced


async def finish(connection: Connection, claimed: Claimed, message: Message, *, go_on: bool) -> Message | bool:
    """Marks the message as done, first in its transaction: takes the lane's lock and checks the fence at once.

    With `go_on` it also takes the lane's next message, in the same round trip, and returns it. Without, or with nothing
    left, the lane is freed as well. Otherwise returns whether the lane is still ours to free. Raises Fenced when the
    lane is not ours any more or the message was done by somebody else.
    """
    record = await connection.fetchrow(_FINISH, claimed.lane, claimed.epoch, message.seq, go_on)
    if record is None or record["left"] is None:
        raise Fenced
    row = dict(record)
    left = row.pop("left")
    return Message(**row) if row["seq"] is not None else bool(go_on and left > 0)


_FINISH = f"""
with ours as (
    update lane set todo = todo - 1,
                    ready_at = case when todo > 1 and $4 then ready_at else now() end,
                    epoch = epoch + case when todo > 1 and $4 then 0 else 1 end
    where lane = $1 and epoch = $2
      and exists (select 1 from inbox where seq = $3 and done_at is null and dead_at is null)
    returning todo
), done as (
    update inbox set done_at = now()
    where seq = $3 and done_at is null and dead_at is null and exists (select from ours) returning 1
), next as (
    update inbox set claims = claims + 1
    where seq = (select seq from inbox where lane = $1 and done_at is null and dead_at is null and seq <> $3
                 order by seq limit 1)
      and $4 and exists (select from done)
    returning {MESSAGE}
)
select (select todo from ours, done) as "left", next.* from (select) as one left join next on true
"""  # noqa: S608  constants only


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
        """update inbox set attempts = attempts + 1, error = coalesce(error, '[]') || $2::jsonb
           where seq = $1 and done_at is null and dead_at is null""",
        message.seq,
        json.dumps([error]),
    )


async def unclaim(connection: Connection, message: Message) -> None:
    """Takes a claim back: the message was not worked on, for a reason that is not its own."""
    await connection.execute(
        "update inbox set claims = claims - 1 where seq = $1 and claims > 0 and done_at is null", message.seq
    )


async def free(connection: Connection, claimed: Claimed, delay: timedelta) -> None:
    """Gives the lane back; it is ready again after `delay`. A renewal that comes late finds another epoch."""
    await connection.execute(
        "update lane set ready_at = now() + $3, epoch = epoch + 1 where lane = $1 and epoch = $2",
        claimed.lane,
        claimed.epoch,
        delay,
    )


async def promote(connection: Connection, limit: int) -> int:
    """Moves due reminders into their lanes; returns how many."""
    return int(
        await connection.fetchval(
            """with due as (
                   delete from reminder where id = any(array(
                       select id from reminder where due_at <= now() order by due_at limit $1 for update skip locked))
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
