"""PostgreSQL: the service's role, its rights, row-level security, migrations, the clock."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg

from lifemask.bus.migrate import KEPT_FROM, versions_of
from lifemask.bus.revisions import is_current
from lifemask.bus.roles import role_of, schema_of
from lifemask.bus.rows import Connection, session
from lifemask.runtime.checkup import Finding, Probe
from lifemask.runtime.settings import ServiceSettings

_PART: Final = "postgres"
_SETTING: Final = "Set LIFEMASK_POSTGRES to a DSN that this service can use."
_MIGRATE: Final = "Run `lifemask migrate`."
_SKEW: Final = 60.0
"""Seconds by which this machine's clock may differ: URLs and signatures are made by it, leases by the database's."""


def postgres_probe(service: str, settings: ServiceSettings) -> Probe:
    """Everything is tried on a connection of its own, in a transaction that is rolled back."""

    async def act() -> Sequence[Finding]:
        schema = schema_of(service)
        try:
            connection = await asyncpg.connect(settings.postgres, server_settings=session(schema), timeout=3)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as problem:
            return [Finding(_PART, "connection", f"no connection: {_said(problem)}", _SETTING)]
        try:
            return [finding async for finding in _findings(connection, service, schema)]
        finally:
            connection.terminate()

    return Probe(_PART, act, "Look whether PostgreSQL runs; " + _SETTING)


async def _findings(connection: Connection, service: str, schema: str) -> AsyncIterator[Finding]:
    yield await _role(connection, service)
    yield await _clock(connection)
    if not await connection.fetchval(
        "select has_schema_privilege(oid, 'usage') from pg_namespace where nspname = $1", schema
    ):
        problem = f"role {role_of(service)} may not use the schema {schema}, or there is none"
        yield Finding(_PART, "schema", problem, _MIGRATE)
        return
    yield await _migrations(connection, service, schema)
    yield await _rights(connection, service, schema)
    yield await _work(connection)
    yield await _rows(connection, schema)


async def _role(connection: Connection, service: str) -> Finding:
    what = "role"
    row = await connection.fetchrow("select rolname, rolsuper, rolbypassrls from pg_roles where rolname = current_user")
    if row is None or row["rolsuper"] or row["rolbypassrls"]:
        problem = f"role {row and row['rolname']} passes by row-level security: one user could see another's rows"
        return Finding(_PART, what, problem, f"Let LIFEMASK_POSTGRES name the role {role_of(service)}.")
    if row["rolname"] != role_of(service):
        problem = f"the role is {row['rolname']}, not {role_of(service)}"
        return Finding(_PART, what, problem, f"Let LIFEMASK_POSTGRES name the role {role_of(service)}.")
    return Finding(_PART, what)


async def _clock(connection: Connection) -> Finding:
    skew = (datetime.now(UTC) - await connection.fetchval("select clock_timestamp()")).total_seconds()
    if abs(skew) > _SKEW:
        problem = f"the clock of this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} PostgreSQL's"
        return Finding(_PART, "clock", problem, "Let both machines take their time from one server (NTP).")
    return Finding(_PART, "clock")


async def _migrations(connection: Connection, service: str, schema: str) -> Finding:
    folders = await asyncio.to_thread(versions_of, service)
    try:
        if await is_current(connection, schema, folders):
            return Finding(_PART, "migrations")
    except asyncpg.InsufficientPrivilegeError:
        return Finding(_PART, "migrations", f"{schema}.migration may not be read", _MIGRATE)
    return Finding(_PART, "migrations", f"the schema {schema} is not of this version", _MIGRATE)


async def _rights(connection: Connection, service: str, schema: str) -> Finding:
    """What `lifemask migrate` grants, by the catalogue: a table may be one that only a rare message writes."""
    rows = await connection.fetch(
        """select c.relname as name, string_agg(p, ', ' order by p) as missing
           from pg_class c join pg_namespace n on n.oid = c.relnamespace,
                unnest(array['select', 'insert', 'update', 'delete']) p
           where n.nspname = $1 and c.relkind = 'r' and c.relname || ' ' || p <> all($2)
             and not has_table_privilege(c.oid, p)
           group by c.relname order by c.relname""",
        schema,
        [f"{table} {right}" for table, kept in KEPT_FROM.items() for right in kept],
    )
    if not rows:
        return Finding(_PART, "rights")
    missing = "; ".join(f"{row['missing']} on {schema}.{row['name']}" for row in rows)
    grants = " ".join(f"grant {row['missing']} on {schema}.{row['name']} to {role_of(service)};" for row in rows)
    return Finding(_PART, "rights", f"denied: {missing}", f"{_MIGRATE} It says: {grants}")


async def _work(connection: Connection) -> Finding:
    """The calls of a lane: put, lock, change, remove."""
    what = "insert, lock, update, delete"
    transaction = connection.transaction()
    await transaction.start()
    try:
        name = "lifemask.probe"
        await connection.execute("insert into lane (lane, todo) values ($1, 0) on conflict (lane) do nothing", name)
        await connection.fetchval("select 1 from lane where lane = $1 for update skip locked", name)
        await connection.execute("update lane set ready_at = now() where lane = $1", name)
        await connection.execute("delete from lane where lane = $1", name)
    except asyncpg.PostgresError as problem:
        return Finding(_PART, what, f"the table lane cannot be worked on: {_said(problem)}", _MIGRATE)
    finally:
        await transaction.rollback()
    return Finding(_PART, what)


async def _rows(connection: Connection, schema: str) -> Finding:
    """Row-level security is on, forced, and really hides every row from whoever names no user."""
    what = "row-level security"
    tables = await connection.fetch(
        """select distinct c.relname as name, c.relrowsecurity and c.relforcerowsecurity as forced
           from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = $1 order by 1""",
        schema,
    )
    for row in tables:
        name = f"{schema}.{row['name']}"
        if not row["forced"]:
            fix = f"alter table {name} enable row level security, force row level security;"
            return Finding(_PART, what, f"row-level security of {name} is switched off", fix)
        try:
            if await connection.fetchval(f"select 1 from {name} limit 1"):  # noqa: S608  a name of the catalogue
                problem = f"{name} shows rows to whoever names no user"
                return Finding(_PART, what, problem, "Look at its policies (`\\d` in psql); " + _MIGRATE)
        except asyncpg.InsufficientPrivilegeError:
            continue  # said under rights
    return Finding(_PART, what)


def _said(problem: Exception) -> str:
    """The server's words; of a failure to connect its kind only, because the text may name a password."""
    if isinstance(problem, asyncpg.PostgresError):
        return str(problem).partition("\n")[0]
    return getattr(problem, "strerror", None) or type(problem).__name__
