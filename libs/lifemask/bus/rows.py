"""Connections for domain rows: always inside a transaction that belongs to one user."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:  # generic for the type checker only
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection, Pool = asyncpg.Connection, asyncpg.Pool

Writer = Callable[[Connection, object], Awaitable[None]]
"""A service's one function that stores a `Keep` row; runs in the finishing transaction, the user is set."""


async def act_for(connection: Connection, user_id: str) -> None:
    """From here to the end of the transaction the domain tables show and accept rows of this user only."""
    await connection.execute("select set_config('lifemask.user', $1, true)", user_id)


class Rows:
    """Reads domain rows of one user at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def reading(self, user_id: str) -> AsyncIterator[Connection]:
        """A connection in a short transaction of `user_id`. Do no slow work inside: the pool is small."""
        async with self._pool.acquire() as connection, connection.transaction():
            await act_for(connection, user_id)
            yield connection
