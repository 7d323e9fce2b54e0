"""Bringing a database to this version, and knowing when it is there already."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from lifemask.bus.migrate import MigrationRefused, migrate
from lifemask.bus.revisions import is_current, newest_in
from lifemask.bus.rows import Connection

PLAIN = 'revision = "{}"\ndown_revision = {!r}\ndepends_on = None\n'


def versions(folder: Path, **files: str) -> list[Path]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return [folder]


def test_the_newest_are_those_that_nothing_follows(tmp_path: Path) -> None:
    folders = versions(
        tmp_path,
        a1=PLAIN.format("a1", None),
        a2=PLAIN.format("a2", "a1"),
        b1='revision: str = "b1"\ndown_revision: str | None = None\n',
    )
    assert newest_in(folders) == {"a2", "b1"}


@pytest.mark.parametrize(
    "text",
    [
        'revision = "c"\ndown_revision = ("a1", "b1")\n',
        'revision = "c"\ndown_revision = None\ndepends_on = "a1"\n',
        'revision = "c"\ndown_revision = None\ndepends_on = ("a1",)\n',
        'revision = "c"\n',
        "down_revision = None\n",
        'revision = "c" + "1"\ndown_revision = None\n',
    ],
    ids=["merge", "dependency", "dependencies", "no predecessor named", "no name", "computed name"],
)
def test_what_is_not_plain_is_left_to_alembic(tmp_path: Path, text: str) -> None:
    assert newest_in(versions(tmp_path, a1=PLAIN.format("a1", None), c=text)) is None


@pytest.fixture
async def admin(postgres: str) -> AsyncIterator[tuple[str, Connection]]:
    """DSN of an empty database, and a connection to it."""
    name = f"migrating_{uuid4().hex[:8]}"
    server = await asyncpg.connect(postgres)
    await server.execute(f"create database {name}")
    dsn = postgres.replace("/postgres?", f"/{name}?")
    connection = await asyncpg.connect(dsn)
    yield dsn, connection
    await connection.close()
    await server.execute(f"drop database {name} with (force)")
    await server.close()


async def test_a_database_of_another_version_is_not_current(admin: tuple[str, Connection], tmp_path: Path) -> None:
    _, connection = admin
    folders = versions(tmp_path, a1=PLAIN.format("a1", None), a2=PLAIN.format("a2", "a1"))
    assert not await is_current(connection, "mine", folders)
    await connection.execute("create schema mine; create table mine.migration (version_num text)")
    assert not await is_current(connection, "mine", folders)
    for found, expected in (("a1", False), ("a2", True), ("a3", False)):
        await connection.execute(f"truncate mine.migration; insert into mine.migration values ('{found}')")
        assert await is_current(connection, "mine", folders) is expected
    await connection.execute("insert into mine.migration values ('a2')")
    assert not await is_current(connection, "mine", folders)


async def test_a_second_migration_mends_rights_without_loading_alembic(admin: tuple[str, Connection]) -> None:
    dsn, connection = admin
    await migrate(dsn, ["packager"])
    await connection.execute("revoke all on packager.inbox from lifemask_packager")
    code = (
        "import asyncio, sys; from lifemask.bus.migrate import migrate; "
        f"asyncio.run(migrate({dsn!r}, ['packager'])); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: ASYNC221  nothing else runs
    assert await connection.fetchval("select has_table_privilege('lifemask_packager', 'packager.inbox', 'insert')")


async def test_a_refusal_is_told_in_the_databases_words(postgres: str) -> None:
    with pytest.raises(MigrationRefused, match="does not exist"):
        await migrate(postgres.replace("/postgres?", "/nowhere?"), ["packager"])
