"""Connections: transactions of the bus, and reading domain rows, always inside a transaction of one user."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, TypeAlias

import asyncpg

if TYPE_CHECKING:  # generic for the type checker only
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection, Pool = asyncpg.Connection, asyncpg.Pool

Writer = Callable[[Connection, object], Awaitable[None]]
"""A service's one function that stores a `Keep` row; runs in the finishing transaction, the user is set."""

DATABASE_AWAY = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
"""Nothing can be decided without the database: the process ends and is started again."""


def session(schema: str) -> dict[str, str]:
    """Settings of a service's connections.

    PostgreSQL keeps a statement's plan, also when it was made while the table was empty and reading all of it cost
    least; a burst on a fresh installation would read whole tables until they are analyzed. All our statements have an
    index, so a plan that reads tables from end to end is never right.
    """
    return {"search_path": schema, "enable_seqscan": "off"}


_holding: ContextVar[bool] = ContextVar("holding_a_connection", default=False)


@asynccontextmanager
async def transaction(pool: Pool, *, snapshot: bool = False) -> AsyncIterator[Connection]:
    """A connection in a short transaction. Raises RuntimeError inside another one of the same task.

    `snapshot`: all its statements see the rows as they were at one moment, and none may write.

    Sixteen lanes share ten connections: if each held one while it waits for a second, all would wait for ever. So
    nesting is refused the first time it is tried, and not the first time there is load.
    """
    if _holding.get():
        raise RuntimeError("a transaction inside another takes two connections of the pool: end the first one before")
    held = _holding.set(True)
    try:
        isolation: Literal["repeatable_read"] | None = "repeatable_read" if snapshot else None
        async with pool.acquire() as connection, connection.transaction(isolation=isolation, readonly=snapshot):
            yield connection
    finally:
        _holding.reset(held)


async def act_for(connection: Connection, user_id: str) -> None:
    """From here to the end of the transaction the domain tables show and accept rows of this user only."""
    await connection.execute("select set_config('lifemask.user', $1, true)", user_id)


class Rows:
    """Reads domain rows of one user at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def reading(self, user_id: str, *, locks: bool = False) -> AsyncIterator[Connection]:
        """A connection in a short transaction of `user_id`. Do no slow work inside: the pool is small.

        All that is read is of one moment: a training whose attempt was read before it was adopted looks like one that
        nobody wants, and would be cancelled.

        `locks`: rows are locked for who changes them, so each statement sees what was committed before it.
        """
        async with transaction(self._pool, snapshot=not locks) as connection:
            await act_for(connection, user_id)
            yield connection
