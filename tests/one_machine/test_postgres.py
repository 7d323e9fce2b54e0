import os
import signal
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # brings no types
import pytest
from tests.one_machine.waiting import Part, is_running, wait_until

from lifemask.cli.embedded.postgres import running_postgres

pytestmark = pytest.mark.slow


def start(data: Path) -> Part:
    part = Part(data.parent / "ready", "lifemask.cli.embedded.postgres", "--data", str(data), "--no-fsync")
    assert part.address, part.finish()
    return part


def postmaster(data: Path) -> int:
    return int((data / "cluster" / "postmaster.pid").read_text().split()[0])


def socket_folder(dsn: str) -> Path:
    return Path(dsn.partition("host=")[2])


async def run(dsn: str, *statements: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def test_data_stays_from_one_start_to_the_next_even_deep_in_the_tree(folder: Path) -> None:
    data = folder / ("long" * 30) / "data"
    async with running_postgres(data, fsync=False) as dsn:
        assert dsn.startswith("postgresql://postgres@/postgres?host=/")
        assert await run(dsn, "create table t as select 7 as n", "select n from t") == 7
        assert await run(dsn, "show server_version_num") >= "180000"  # type: ignore[operator]  # fetchval is untyped
    async with running_postgres(data, fsync=False) as dsn:
        assert await run(dsn, "select n from t") == 7


async def test_fsync_is_on_unless_it_is_switched_off(folder: Path) -> None:
    async with running_postgres(folder / "data") as dsn:
        assert await run(dsn, "show fsync") == "on"


async def test_everything_killed_at_once_starts_again_with_its_data(folder: Path) -> None:
    with start(folder / "data") as first:
        await run(first.address, "create table t as select 7 as n", "select 1")
        first.kill(*first.descendants())
    with start(folder / "data") as second:
        assert await run(second.address, "select n from t") == 7
        assert not socket_folder(first.address).exists()


def test_the_server_ends_when_the_parent_is_gone(folder: Path) -> None:
    with start(folder / "data") as part:
        left = [part.pid, *part.descendants()]
        part.close_pipe()
        assert part.finish()[0] == 0
        wait_until(lambda: not any(is_running(pid) for pid in left))
        assert not socket_folder(part.address).exists()


def test_the_server_ends_when_the_wrapper_is_killed(folder: Path) -> None:
    with start(folder / "data") as part:
        left = part.descendants()
        part.kill()
        wait_until(lambda: not any(is_running(pid) for pid in left))
        wait_until(lambda: not socket_folder(part.address).exists())


async def test_a_server_that_nobody_watches_any_more_is_replaced(folder: Path) -> None:
    with start(folder / "data") as first:
        server = postmaster(folder / "data")
        guard = next(child for child in psutil.Process(first.pid).children() if child.pid != server)
        first.kill(guard.pid, *(child.pid for child in guard.children()))
        assert is_running(server)
    with start(folder / "data") as second:
        assert not is_running(server)
        assert not socket_folder(first.address).exists()
        assert await run(second.address, "select 1") == 1


def test_a_directory_in_use_is_refused(folder: Path) -> None:
    options = ("--data", str(folder / "data"), "--lock-patience", "0.2")
    with start(folder / "data"), Part(folder / "second", "lifemask.cli.embedded.postgres", *options) as second:
        code, errors = second.finish()
        assert (code, second.address) == (3, "")
        assert "served by another process" in errors


def test_the_death_of_the_server_ends_the_wrapper(folder: Path) -> None:
    with start(folder / "data") as part:
        os.kill(postmaster(folder / "data"), signal.SIGKILL)
        code, errors = part.finish()
        assert code == 1
        assert "ended by itself" in errors
