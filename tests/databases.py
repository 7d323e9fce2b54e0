"""Databases for tests: each test gets one that is migrated and empty, and no other test sees it meanwhile.

Copying a database takes a hundred times as long as emptying one, so a database is used again. One whose tables a test
has changed, or that cannot be emptied, is dropped.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg

from lifemask.bus.migrate import migrate
from lifemask.bus.roles import schema_of

_TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables
where schemaname = $1 and tablename <> 'migration' order by 1
"""

_END_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Kind:
    """A service's schema, with `extra` statements (run as superuser in that schema) on top."""

    service: str
    extra: str = ""


@dataclass
class Databases:
    """The databases of one test session on the server at `admin`, a superuser's DSN."""

    admin: str
    templates: dict[Kind, tuple[str, list[str]]] = field(default_factory=dict)
    """Per kind a database to copy, and its tables."""
    free: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))

    def dsn(self, name: str, role: str = "postgres") -> str:
        """The database `name` as `role`."""
        return f"postgresql://{role}@/{name}?{self.admin.partition('?')[2]}"

    async def take(self, kind: Kind) -> str:
        """The name of an empty database of this kind, the caller's until `give_back`."""
        if kind not in self.templates:
            self.templates[kind] = await self._make_template(kind)
        if self.free[kind]:
            return self.free[kind].pop()
        name = f"test_{uuid4().hex}"
        template, _ = self.templates[kind]
        await self._as_admin(f"create database {name} template {template}")
        return name

    async def give_back(self, kind: Kind, name: str) -> None:
        """Empties the database for the next test."""
        if await self._empty(kind, name):
            self.free[kind].append(name)
        else:
            await self._as_admin(f"drop database {name} with (force)")

    async def _empty(self, kind: Kind, name: str) -> bool:
        connection = await asyncpg.connect(self.dsn(name))
        try:
            await connection.execute(_END_OTHERS)
            tables = [row[0] for row in await connection.fetch(_TABLES, schema_of(kind.service))]
            if tables != self.templates[kind][1]:
                return False
            deletes = "; ".join(f"delete from {table}" for table in tables)
            await connection.execute(f"set lock_timeout = '2s'; set session_replication_role = replica; {deletes}")
        except asyncpg.LockNotAvailableError:
            return False
        finally:
            await connection.close()
        return True

    async def _make_template(self, kind: Kind) -> tuple[str, list[str]]:
        name = f"template_{schema_of(kind.service)}_{uuid4().hex[:8]}"
        await self._as_admin(f"create database {name}")
        await migrate(self.dsn(name), [kind.service])
        connection = await asyncpg.connect(self.dsn(name))
        try:
            if kind.extra:
                await connection.execute(f"set search_path to {schema_of(kind.service)}; {kind.extra}")
            tables = [row[0] for row in await connection.fetch(_TABLES, schema_of(kind.service))]
        finally:
            await connection.close()
        return name, tables

    async def _as_admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
