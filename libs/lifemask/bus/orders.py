"""What an operator orders, done by the service itself: a dead letter replayed or discarded, a message told to it.

A command only writes the order down, as the account that migrates. The service whose row it concerns carries it out:
what it says of a run is signed with its own key, which no operator and no other process has; locks are taken by the
code whose order of locks is known to be free of deadlocks; and the act and its record are one transaction, so that an
order is carried out once, however often it is given. The service's role may write of an order only what became of it.

Locks: the order, then lane → inbox → baton → own rows → outbox. Nobody takes an order's lock after another.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog

from lifemask.bus.ender import end_run
from lifemask.bus.inbound import UNREADABLE
from lifemask.bus.letters import Here, here_of
from lifemask.bus.ordering import Act, Done
from lifemask.bus.outbound import Cause, Outbound
from lifemask.bus.rows import DATABASE_AWAY, Connection, Pool, transaction
from lifemask.bus.signals import Signals
from lifemask.contracts import Failure, FailureCode, RunFailed, Stage

log = structlog.get_logger()

_POLL: Final = 1.0
"""Seconds between two looks for orders."""
_BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Orders:
    """Carries out the orders to one service. No pause stops it."""

    pool: Pool
    outbound: Outbound
    stage: Stage
    signals: Signals
    deadline: timedelta | None

    async def run(self) -> None:
        """Carries out what is ordered, for ever."""
        while True:
            if not await self.step():
                await asyncio.sleep(_POLL)

    async def step(self) -> int:
        """Carries out what is ordered now; returns how many orders there were."""
        async with self.pool.acquire() as connection:
            rows = await connection.fetch(
                "select id from operator_order where done_at is null order by ordered_at, id limit $1", _BATCH
            )
        for row in rows:
            await self._try(row["id"])
        return len(rows)

    async def _try(self, name: str) -> None:
        try:
            outcome = await self._carry_out(name)
        except (*DATABASE_AWAY, OSError):
            raise
        except Exception:
            log.exception("order_failed", order=name)
            outcome = Done.FAILED
            async with transaction(self.pool) as connection:
                await _close(connection, name, outcome)
        if outcome is not None:
            log.info("order_done", order=name, outcome=outcome.value)
            self.signals.stored()
            self.signals.lanes.set()

    async def _carry_out(self, name: str) -> Done | None:
        async with transaction(self.pool) as connection:
            row = await connection.fetchrow(
                "select * from operator_order where id = $1 and done_at is null for update skip locked", name
            )
            if row is None:
                return None
            outcome = await self._act(connection, dict(row))
            await _close(connection, name, outcome)
        return outcome

    async def _act(self, connection: Connection, row: dict[str, Any]) -> Done:
        match Act(row["act"]):
            case Act.REPLAY:
                return await self._replay(connection, row["msg_id"], row["replays"])
            case Act.DISCARD:
                return await self._discard(connection, row["msg_id"], row["replays"])
            case Act.TELL:
                return await self._tell(connection, row)

    async def _replay(self, connection: Connection, msg_id: str, replays: int) -> Done:
        """Reopens the letter's row, counts it into its lane again and renews its run's deadline."""
        lane = await connection.fetchval("select lane from inbox where msg_id = $1", msg_id)
        if lane is None or lane == UNREADABLE:
            return Done.TOO_LATE
        await connection.execute("insert into lane (lane, todo) values ($1, 0) on conflict (lane) do nothing", lane)
        await connection.execute("select 1 from lane where lane = $1 for update", lane)
        letter = await _lock_letter(connection, msg_id, replays)
        if letter is None:
            return Done.TOO_LATE
        here = await _lock_baton(connection, letter)
        if here in {Here.ENDING, Here.OVER_BROUGHT}:
            return Done.TOO_LATE
        await connection.execute("update lane set todo = todo + 1 where lane = $1", lane)
        await connection.execute(
            "update inbox set dead_at = null, attempts = 0, claims = 0, replays = replays + 1 where msg_id = $1", msg_id
        )
        if here in {Here.BROUGHT, Here.HELD} and self.deadline is not None:
            await connection.execute(
                """update baton set deadline_at = now() + $3
                   where user_id = $1 and run_id = $2 and deadline_at is not null""",
                letter["user_id"],
                letter["run_id"],
                self.deadline,
            )
        return Done.REPLAYED

    async def _discard(self, connection: Connection, msg_id: str, replays: int) -> Done:
        """Closes the letter's row; ends its run if that is here and this letter brought it."""
        letter = await _lock_letter(connection, msg_id, replays)
        if letter is None:
            return Done.TOO_LATE
        here = await _lock_baton(connection, letter)
        await connection.execute("update inbox set done_at = now() where msg_id = $1", msg_id)
        if here is not Here.BROUGHT:
            return Done.DISCARDED
        failure = Failure.of(FailureCode.DISCARDED)
        terminal = RunFailed(user_id=letter["user_id"], run_id=letter["run_id"], stage=self.stage, failure=failure)
        cause = Cause(letter["user_id"], letter["run_id"], msg_id, replays)
        await end_run(connection, self.outbound, terminal, cause, letter["brought_headers"] or "{}")
        return Done.RUN_FAILED

    async def _tell(self, connection: Connection, row: dict[str, Any]) -> Done:
        name, user, run, kind, value = (row[each] for each in ("msg_id", "user_id", "run_id", "type", "value"))
        await connection.execute(
            """insert into reminder (id, lane, user_id, run_id, type, due_at, value, headers)
               values ($1, $2, $2, $3, $4, now(), $5, $6) on conflict (id) do nothing""",
            name,
            user,
            run,
            kind,
            value,
            self.outbound.coded(name, user, user, run_id=run, type=kind, value=value),
        )
        return Done.TOLD


async def _lock_letter(connection: Connection, msg_id: str, replays: int) -> dict[str, Any] | None:
    """The letter's ids, its row locked; None when it is no dead letter any more, or was replayed since."""
    row = await connection.fetchrow(
        """select msg_id, user_id, run_id from inbox
           where msg_id = $1 and replays = $2 and dead_at is not null and done_at is null for update""",
        msg_id,
        replays,
    )
    return dict(row) if row else None


async def _lock_baton(connection: Connection, letter: dict[str, Any]) -> Here:
    baton = await connection.fetchrow(
        """select brought_by, taken_at, passed_at, cancel_requested_at, headers as brought_headers from baton
           where user_id = $1 and run_id = $2 for update""",
        letter["user_id"],
        letter["run_id"],
    )
    if baton is None:
        return Here.NONE
    letter.update(baton)
    return here_of(letter)


async def _close(connection: Connection, name: str, outcome: Done) -> None:
    await connection.execute(
        "update operator_order set done_at = now(), outcome = $2 where id = $1 and done_at is null", name, outcome
    )
