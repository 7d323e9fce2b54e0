"""One database with every service in it, as `lifemask migrate` makes it, and a row in every domain table."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
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
    tables: dict[str, list[Table]] = field(default_factory=dict)

    async def rows(self, table: Table) -> list[asyncpg.Record]:
        """What is in a table, whoever's it is."""
        return await self.admin.fetch(f"select * from {table.name} order by 1")


As = Callable[[str], Awaitable[Connection]]


@pytest.fixture(scope="module")
def house_dsn(postgres: str) -> str:
    return postgres.replace("/postgres?", f"/refusing_{uuid4().hex[:8]}?")


@pytest.fixture
async def house(postgres: str, house_dsn: str) -> AsyncIterator[House]:
    """Made once; each test finds the victim's row alone in every domain table."""
    server = await asyncpg.connect(postgres)
    name = house_dsn.partition("?")[0].rpartition("/")[2]
    if not await server.fetchval("select 1 from pg_database where datname = $1", name):
        await server.execute(f"create database {name}")
        await migrate(house_dsn, SERVICES)
    await server.close()
    admin = await asyncpg.connect(house_dsn)
    house = House(admin, house_dsn)
    for service in SERVICES:
        house.tables[service] = await domain_tables(admin, schema_of(service), VICTIM)
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
