"""Schemas, roles, migrations and topics: run once by `lifemask migrate`, never by a service at its start."""

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from lifemask.bus.passwords import verifier
from lifemask.bus.roles import SERVICES, role_of, schema_of


async def migrate(dsn: str, services: Sequence[str] = SERVICES, passwords: Mapping[str, str] | None = None) -> None:
    """Brings the database at `dsn` (a role that may create roles and schemas) to this version, service by service.

    Safe to repeat. Each service's role owns nothing but may read and write its own schema, and no other.
    `passwords`: of services' roles; a role that is not named keeps the one it has, or has none.
    """
    engine = create_async_engine(_sqlalchemy(dsn), poolclass=NullPool)
    try:
        for service in services:
            async with engine.connect() as connection:
                await _prepare(connection, service)
                await connection.run_sync(_upgrade, service)
                await _grant(connection, service)
                if password := (passwords or {}).get(service):
                    await _admit(connection, service, password)
    finally:
        await engine.dispose()


def _sqlalchemy(dsn: str) -> str:
    return "postgresql+asyncpg://" + dsn.split("://", 1)[1]


async def _prepare(connection: AsyncConnection, service: str) -> None:
    role, schema = role_of(service), schema_of(service)
    await connection.execute(
        text(
            f"do $$ begin create role {role} login nosuperuser nobypassrls noinherit; "
            "exception when duplicate_object or unique_violation then null; end $$"
        )
    )
    await connection.execute(text(f"create schema if not exists {schema}"))
    await connection.execute(text(f"set search_path to {schema}"))
    await connection.commit()


def _upgrade(connection: Connection, service: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("lifemask.bus") / "migrations"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(_versions(service)))
    config.attributes.update(connection=connection, schema=schema_of(service))
    command.upgrade(config, "heads")
    connection.commit()


def _versions(service: str) -> list[str]:
    places = [str(files("lifemask.bus") / "migrations" / "versions")]
    found = importlib.util.find_spec(f"lifemask.{schema_of(service)}")
    if found is not None and found.submodule_search_locations:
        own = Path(next(iter(found.submodule_search_locations))) / "migrations"
        if own.is_dir():
            places.append(str(own))
    return places


async def _grant(connection: AsyncConnection, service: str) -> None:
    role, schema = role_of(service), schema_of(service)
    for statement in (
        f"grant usage on schema {schema} to {role}",
        f"grant select, insert, update, delete on all tables in schema {schema} to {role}",
        f"revoke insert, update, delete on {schema}.migration from {role}",
        f"revoke all on schema public from {role}",
    ):
        await connection.execute(text(statement))
    await connection.commit()


async def _admit(connection: AsyncConnection, service: str, password: str) -> None:
    await connection.exec_driver_sql(f"alter role {role_of(service)} password '{verifier(password)}'")
    await connection.commit()
