"""The database refuses what no code should ever ask: rows of another user, tables of another service."""

import asyncpg
import pytest
from tests.database.catalog import OF_THE_BUS, Table, tables_of
from tests.database.conftest import OTHER, VICTIM, As, House

from lifemask.bus.roles import SERVICES, role_of, schema_of
from lifemask.bus.rows import Connection

USERS = (OTHER, "", None)
"""Another user, an empty one, and none: what a transaction may have set."""
OTHER_SERVICES = [(service, other) for service in SERVICES for other in SERVICES if service != other]


async def pretend(connection: Connection, user: str | None) -> None:
    """Sets the user for the transaction, as the bus does; None sets nothing."""
    if user is not None:
        await connection.execute("select set_config('lifemask.user', $1, true)", user)


async def attempt(connection: Connection, user: str | None, statement: str, *values: object) -> None:
    """One statement in a transaction of `user`."""
    async with connection.transaction():
        await pretend(connection, user)
        await connection.execute(statement, *values)


async def untouched(house: House, table: Table) -> bool:
    (row,) = await house.rows(table)
    return {name: row[name] for name in table.row} == table.row


async def test_every_service_but_one_keeps_domain_rows(house: House) -> None:
    assert [service for service in SERVICES if not house.tables[service]] == ["packager"]


@pytest.mark.parametrize("service", SERVICES)
async def test_every_key_begins_with_the_user(house: House, service: str) -> None:
    for table in house.tables[service]:
        assert "p" in {key.kind for key in table.keys}, f"{table.name} has no primary key"
        for key in table.keys:
            assert key.columns[0] == "user_id", f"{table.name}: {key.name}"
            assert key.kind != "f" or key.referenced[0] == "user_id", f"{table.name}: {key.name}"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_domain_table_is_under_forced_row_level_security(house: House, service: str) -> None:
    """One policy for everything: a second one would be added by `or`."""
    for table in house.tables[service]:
        found = await house.admin.fetchrow(
            "select relrowsecurity, relforcerowsecurity from pg_class where oid = $1::text::regclass", table.name
        )
        assert found is not None
        assert tuple(found) == (True, True), table.name
        policies = await house.admin.fetch(
            """select polcmd::text, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
               from pg_policy where polrelid = $1::text::regclass""",
            table.name,
        )
        mine = "(user_id = NULLIF(current_setting('lifemask.user'::text, true), ''::text))"
        assert [tuple(policy) for policy in policies] == [("*", [0], mine, mine)], table.name


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("service", SERVICES)
async def test_rows_of_another_user_can_be_neither_read_nor_changed(
    house: House, acting: As, service: str, user: str | None
) -> None:
    connection = await acting(service)
    for table in house.tables[service]:
        async with connection.transaction():
            await pretend(connection, user)
            assert await connection.fetch(f"select * from {table.name}") == [], table.name
            changed = await connection.execute(f"update {table.name} set user_id = user_id")
            deleted = await connection.execute(f"delete from {table.name}")
        assert (changed, deleted) == ("UPDATE 0", "DELETE 0"), table.name
        assert await untouched(house, table), table.name


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("service", SERVICES)
async def test_rows_of_another_user_cannot_be_added(house: House, acting: As, service: str, user: str | None) -> None:
    """Not in the victim's name, and not in the name of nobody: after a transaction the setting is ''."""
    connection = await acting(service)
    for table in house.tables[service]:
        for name in (VICTIM, ""):
            statement, values = table.insert(user_id=name)
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
                await attempt(connection, user, statement, *values)
        assert await untouched(house, table), table.name


@pytest.mark.parametrize("service", SERVICES)
async def test_an_own_row_cannot_be_given_away(house: House, acting: As, service: str) -> None:
    connection = await acting(service)
    for table in house.tables[service]:
        await _as_admin(house, table, user_id=OTHER)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await attempt(connection, OTHER, f"update {table.name} set user_id = $1", VICTIM)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_foreign_key_cannot_lead_to_another_users_row(house: House, acting: As, service: str) -> None:
    """PostgreSQL checks foreign keys past row-level security; only a key that begins with the user refuses."""
    connection = await acting(service)
    by_name = {table.name.rpartition(".")[2]: table for table in house.tables[service]}
    for table in house.tables[service]:
        for key in (key for key in table.keys if key.kind == "f"):
            assert key.other is not None
            theirs = by_name[key.other.rpartition(".")[2]].row
            leading = {mine: theirs[their] for mine, their in zip(key.columns[1:], key.referenced[1:], strict=True)}
            own = {name: "y" for name in table.primary if name not in key.columns and table.row.get(name) == "x"}
            statement, values = table.insert(**own, **leading, user_id=OTHER)
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await attempt(connection, OTHER, statement, *values)


@pytest.mark.parametrize(("service", "other"), OTHER_SERVICES)
async def test_another_service_reaches_no_table(house: House, acting: As, service: str, other: str) -> None:
    """Neither a domain table nor one of the bus, even as the right user."""
    connection = await acting(other)
    for plain, name in (await tables_of(house.admin, schema_of(service))).items():
        statements = (
            f"select * from {name}",
            f"insert into {name} default values",
            f"delete from {name}",
            f"truncate {name}",
            f"alter table {name} disable row level security",
        )
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await attempt(connection, VICTIM, statement)
        assert not await house.admin.fetchval(
            "select has_table_privilege($1, $2, 'select, insert, update, delete, truncate, references, trigger')",
            role_of(other),
            name,
        ), f"{role_of(other)}: {plain}"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_cannot_step_over_its_own_walls(house: House, acting: As, service: str) -> None:
    """TRUNCATE knows no rows; an owner could switch the policies off."""
    connection = await acting(service)
    for table in house.tables[service]:
        for statement in (
            f"truncate {table.name} cascade",
            f"alter table {table.name} disable row level security",
            f"alter table {table.name} no force row level security",
            f"drop policy own_rows on {table.name}",
            f"create policy mine on {table.name} using (true)",
            f"drop table {table.name} cascade",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        assert await untouched(house, table), table.name
    for statement in (
        "set role postgres",
        f"alter role {role_of(service)} bypassrls",
        "set session_replication_role = replica",
        "set row_security = off; select * from " + (house.tables[service] or house.tables["ingest"])[0].name,
        f"create table {schema_of(service)}.mine (user_id text)",
        "create table public.mine (user_id text)",
        f"update {schema_of(service)}.migration set version_num = 'x'",
        "create schema mine",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


@pytest.mark.parametrize("service", SERVICES)
async def test_roles_have_no_powers(house: House, service: str) -> None:
    role = await house.admin.fetchrow(
        """select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit,
                  (select count(*) from pg_auth_members where member = pg_roles.oid) as memberships,
                  (select count(*) from pg_class where relowner = pg_roles.oid) as owned
           from pg_roles where rolname = $1""",
        role_of(service),
    )
    assert role is not None
    assert dict(role) == dict.fromkeys(role.keys(), 0)
    reached = await house.admin.fetch(
        """select nspname::text from pg_namespace
           where nspname not like 'pg\\_%' and nspname <> 'information_schema'
             and has_schema_privilege($1, oid, 'usage')""",
        role_of(service),
    )
    assert {record["nspname"] for record in reached} <= {schema_of(service), "public"}


def test_the_tables_of_the_bus_are_known() -> None:
    """They see all users by design; whatever is added to them is a decision that this list shows."""
    assert {"inbox", "lane", "reminder", "outbox", "baton", "security", "broker", "migration"} <= OF_THE_BUS


async def _as_admin(house: House, table: Table, **changes: object) -> None:
    statement, values = table.insert(**changes)
    async with house.admin.transaction():
        await house.admin.execute("set local session_replication_role = replica")
        await house.admin.execute(statement, *values)
