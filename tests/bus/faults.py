"""A pool whose process dies at its n-th statement: nothing it does afterwards reaches the database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg

from lifemask.bus.rows import Connection, Pool


class MortalPool:
    """Counts statements, commits included, and dies at number `at` (from 1; 0 never).

    With `reply_lost` that statement still reaches the database; only its answer does not come back.
    """

    def __init__(self, pool: Pool, at: int = 0, *, reply_lost: bool = False) -> None:
        self._pool = pool
        self._at = at
        self._reply_lost = reply_lost
        self.count = 0

    @property
    def dead(self) -> bool:
        return bool(self._at) and self.count >= self._at

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection:
            yield cast("Connection", _Mortal(connection, self))

    async def pass_by(self, statement: Callable[[], Awaitable[Any]]) -> Any:
        if self.dead:
            raise asyncpg.ConnectionDoesNotExistError("the process is no more")
        self.count += 1
        if not self.dead:
            return await statement()
        if self._reply_lost:
            await statement()
        raise asyncpg.ConnectionDoesNotExistError("the process is no more")


class _Mortal:
    def __init__(self, connection: Connection, pool: MortalPool) -> None:
        self._connection = connection
        self._pool = pool

    @asynccontextmanager
    async def transaction(self, **kind: Any) -> AsyncIterator[None]:
        transaction = self._connection.transaction(**kind)
        await transaction.start()
        try:
            yield
            await self._pool.pass_by(transaction.commit)
        except BaseException:
            if self._connection.is_in_transaction():
                await transaction.rollback()
            raise

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._connection, name)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            return await self._pool.pass_by(lambda: method(*args, **kwargs))

        return counted
