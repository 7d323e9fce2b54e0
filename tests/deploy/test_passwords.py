"""Passwords of the services' roles on a PostgreSQL that asks for them."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from lifemask.bus.migrate import migrate
from lifemask.bus.passwords import passwords_in, verifier
from lifemask.cli.embedded.postgres import running_postgres

pytestmark = pytest.mark.slow

RIGHT = "aB3$'\\%~!"


@pytest.fixture
async def asking() -> AsyncIterator[str]:
    """DSN of a superuser on a server that lets every other role in by password alone."""
    with tempfile.TemporaryDirectory(prefix="lm-pg-") as folder:
        home = Path(folder) / "pg"
        async with running_postgres(home, fsync=False) as dsn:
            admin = await asyncpg.connect(dsn)
            rules: str = await admin.fetchval("show hba_file")
            await admin.close()
        _ask_for_passwords(Path(rules))
        async with running_postgres(home, fsync=False) as dsn:
            yield dsn


def _ask_for_passwords(rules: Path) -> None:
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")


async def refused(dsn: str, user: str, password: str | None) -> str:
    """The SQLSTATE with which the server refuses; empty when it lets in."""
    socket = parse_qs(urlsplit(dsn).query)["host"][0]
    try:
        connection = await asyncpg.connect(host=socket, user=user, password=password, database="postgres")
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    await connection.close()
    return ""


async def test_a_role_is_let_in_by_the_last_password_it_was_given(asking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    await migrate(asking, ["packager", "trainer"], {"packager": "old"})
    assert await refused(asking, "lifemask_packager", "old") == ""
    await migrate(asking, ["packager"], {"packager": RIGHT})
    await migrate(asking, ["packager"])  # not named: kept
    assert await refused(asking, "lifemask_packager", RIGHT) == ""
    assert await refused(asking, "lifemask_packager", "old") == "28P01"
    assert await refused(asking, "lifemask_trainer", RIGHT) == "28P01"


def test_a_verifier_has_no_character_that_sql_reads() -> None:
    assert set(verifier("x")) <= set("SCRAMH-256$:+/=") | set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    )
    assert verifier("x") != verifier("x")


@pytest.mark.parametrize("bad", ["with space", "ümlaut", "line\n"])
def test_a_password_that_cannot_be_used_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(ValueError, match=r"^LIFEMASK_DB_PASSWORD_IMAGE_VALIDATOR must be printable") as caught:
        passwords_in({"LIFEMASK_DB_PASSWORD_IMAGE_VALIDATOR": bad}, ["image-validator"])
    assert bad not in str(caught.value)


def test_passwords_that_are_not_set_are_left_out() -> None:
    environment = {"LIFEMASK_DB_PASSWORD_PACKAGER": "p", "LIFEMASK_DB_PASSWORD_TRAINER": ""}
    assert passwords_in(environment, ["packager", "trainer", "notifier"]) == {"packager": "p"}
