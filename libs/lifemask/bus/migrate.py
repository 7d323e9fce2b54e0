"""Schemas, roles and migrations: run once by `lifemask migrate`, never by a service at its start."""

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from lifemask.bus.passwords import verifier
from lifemask.bus.revisions import is_current
from lifemask.bus.roles import SERVICES, role_of, schema_of
from lifemask.bus.rows import Connection

if TYPE_CHECKING:
    import sqlalchemy


KEPT_FROM: Final = {"migration": ("insert", "update", "delete"), "operator_order": ("insert", "update", "delete")}
"""What a service's role may not do with tables of its own schema; everything else it may."""
_CLOSING: Final = "(done_at, outcome)"
"""Of an order the service writes what became of it, and nothing of what is ordered."""


class MigrationRefused(Exception):
    """PostgreSQL does not take it; the text is its reason."""


async def migrate(dsn: str, services: Sequence[str] = SERVICES, passwords: Mapping[str, str] | None = None) -> None:
    """Brings the database at `dsn` (a role that may create roles and schemas) to this version, service by service.

    Safe to repeat. Each service's role owns nothing but may read and write its own schema, and no other.
    `passwords`: of services' roles; a role that is not named keeps the one it has, or has none.
    Raises OSError when nobody answers at `dsn`, MigrationRefused for what PostgreSQL refuses.
    """
    try:
        connection = await asyncpg.connect(dsn)
        try:
            for service in services:
                await _prepare(connection, service)
                if not await is_current(connection, schema_of(service), versions_of(service)):
                    await _upgrade(dsn, service)
                await _grant(connection, service)
                if password := (passwords or {}).get(service):
                    await connection.execute(f"alter role {role_of(service)} password '{verifier(password)}'")
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationRefused(str(error)) from error


async def _prepare(connection: Connection, service: str) -> None:
    role, schema = role_of(service), schema_of(service)
    await connection.execute(
        f"do $$ begin create role {role} login nosuperuser nobypassrls noinherit; "
        "exception when duplicate_object or unique_violation then null; end $$"
    )
    await connection.execute(f"create schema if not exists {schema}")


async def _upgrade(dsn: str, service: str) -> None:
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, server_settings={"search_path": schema_of(service)})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run_alembic, service)
    except DBAPIError as error:
        raise MigrationRefused(str(error.orig)) from error
    finally:
        await engine.dispose()


def _run_alembic(connection: "sqlalchemy.Connection", service: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("lifemask.bus") / "migrations"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, versions_of(service))))
    config.attributes.update(connection=connection, schema=schema_of(service))
    command.upgrade(config, "heads")
    connection.commit()


def versions_of(service: str) -> list[Path]:
    """The folders of a service's migrations."""
    places = [Path(str(files("lifemask.bus") / "migrations" / "versions"))]
    found = importlib.util.find_spec(f"lifemask.{schema_of(service)}")
    if found is not None and found.submodule_search_locations:
        own = Path(next(iter(found.submodule_search_locations))) / "migrations"
        if own.is_dir():
            places.append(own)
    return places


async def _grant(connection: Connection, service: str) -> None:
    """Every time, not only after an upgrade: a migration that was killed in between is mended by the next one."""
    role, schema = role_of(service), schema_of(service)
    async with connection.transaction():
        for statement in (
            f"grant usage on schema {schema} to {role}",
            f"grant select, insert, update, delete on all tables in schema {schema} to {role}",
            *(f"revoke {', '.join(kept)} on {schema}.{table} from {role}" for table, kept in KEPT_FROM.items()),
            f"grant update {_CLOSING} on {schema}.operator_order to {role}",
            f"revoke all on schema public from {role}",
        ):
            await connection.execute(statement)
