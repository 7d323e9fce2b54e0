"""Runs that wait for an operator: asked in the transaction that finds out, shown by readiness, log and command.

What is asked is kept with the run's baton, which knows whether the run is still here. Call with the baton's lock held:
after an outcome that speaks of the run, or in a turn's commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from lifemask.bus.roles import schema_of
from lifemask.bus.rows import Connection
from lifemask.runtime.logs import hashed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits for an operator; `needs` says what is undecided and the command that settles it."""

    service: str
    user_id: str
    run_id: str
    needs: str
    deadline_at: datetime | None


async def ask(connection: Connection, user_id: str, run_id: str, needs: str) -> None:
    """Asks an operator. The run goes on waiting; its deadline stays."""
    asked = await connection.fetchval(
        "update baton set needs = $3 where user_id = $1 and run_id = $2 and passed_at is null returning 1",
        user_id,
        run_id,
        needs,
    )
    if asked:
        log.error("needs_operator", run=run_id, user=hashed(user_id), needs=needs)


async def settle(connection: Connection, user_id: str, run_id: str) -> None:
    """Nothing is asked any more, if anything was."""
    await connection.execute(
        """update baton set needs = null
           where user_id = $1 and run_id = $2 and passed_at is null and needs is not null""",
        user_id,
        run_id,
    )


async def answer(connection: Connection, order: str, outcome: str) -> None:
    """Says what became of a told order."""
    await connection.execute("update operator_order set outcome = $2 where id = $1", order, outcome)


async def waiting(connection: Connection, service: str) -> Sequence[Waiting]:
    """The service's runs that wait for an operator, longest first. Leaves the search path at its schema."""
    await connection.execute(f"set search_path to {schema_of(service)}")
    rows = await connection.fetch(
        """select user_id, run_id, needs, deadline_at from baton
           where needs is not null and passed_at is null order by taken_at"""
    )
    return [Waiting(service, **dict(row)) for row in rows]
