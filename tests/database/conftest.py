"""One database with every service in it, as `lifemask migrate` makes it, and a row in every domain table."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import asyncpg
import pytest
from tests.database.catalog import Table, domain_tables

from lifemask.bus.migrate import migrate
from lifemask.bus.roles import SERVICES, role_of, schema_of
from lifemask.bus.rows import Connection

VICTIM: Final = "acme.victim"
"""Whose rows are in the tables."""
OTHER: Final = "acme.other"


@dataclass
class House:
    """The database: `admin` sees everything; `tables` are the domain tables by service."""

    admin: Connection
    dsn: str
    tables: dict[str, list[Table]]

    async def rows(self, table: Table) -> list[asyncpg.Record]:
        """What is in a table, whoever's it is."""
        return await self.admin.fetch(f"select * from {table.name} order by 1")


As = Callable[[str], Awaitable[Connection]]


@pytest.fixture(scope="module")
def made(postgres: str) -> tuple[str, dict[str, list[Table]]]:
    """The DSN of the database, and its tables: made and read once."""
    name = f"refusing_{uuid4().hex[:8]}"
    dsn = postgres.replace("/postgres?", f"/{name}?")

    async def make() -> dict[str, list[Table]]:
        server = await asyncpg.connect(postgres)
        await server.execute(f"create database {name}")
        await server.close()
        await migrate(dsn, SERVICES)
        admin = await asyncpg.connect(dsn)
        found = {service: await domain_tables(admin, schema_of(service), VICTIM) for service in SERVICES}
        await admin.close()
        return found

    return dsn, asyncio.run(make())


@pytest.fixture
async def house(made: tuple[str, dict[str, list[Table]]]) -> AsyncIterator[House]:
    """Each test finds the victim's row alone in every domain table."""
    dsn, tables = made
    admin = await asyncpg.connect(dsn)
    house = House(admin, dsn, tables)
    await admin.execute("set session_replication_role = replica")  # no foreign key minds the order
    for table in (table for tables in house.tables.values() for table in tables):
        await admin.execute(f"delete from {table.name}")
        statement, values = table.insert()
        await admin.execute(statement, *values)
    await admin.execute("set session_replication_role = origin")
    yield house
    await admin.close()


@pytest.fixture
async def acting(house: House) -> AsyncIterator[As]:
    """Connects as a service, as the service does."""
    async with AsyncExitStack() as stack:

        async def connect(service: str) -> Connection:
            dsn = house.dsn.replace("postgres@", f"{role_of(service)}@")
            connection = await asyncpg.connect(dsn, server_settings={"search_path": schema_of(service)})
            stack.push_async_callback(connection.close)
            return connection

        yield connect
