"""Fixtures that more than one folder of tests uses."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from tools.s3 import running_s3
from xdist.remote import Producer  # type: ignore[import-untyped]  # published without types
from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]  # likewise

from lifemask.bus.migrate import migrate
from lifemask.bus.roles import role_of, schema_of
from lifemask.bus.rows import Pool
from lifemask.cli.embedded.postgres import running_postgres

SYSTEM = "tests/system/"
Migrated = Callable[[str], Awaitable[Pool]]


class OneSystem(LoadGroupScheduling):  # type: ignore[misc]  # likewise
    """All tests of one running system go to one worker, which then starts one.

    By folder: pytest-xdist 3.8.0 does not see the mark `xdist_group` under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return SYSTEM if nodeid.startswith(SYSTEM) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # there is no such hook when tests run without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    return OneSystem(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """DSN of a superuser on a PostgreSQL of this test session."""
    stack = AsyncExitStack()
    with tempfile.TemporaryDirectory(prefix="lm-pg-") as data, asyncio.Runner() as runner:
        dsn = runner.run(stack.enter_async_context(running_postgres(Path(data) / "pg", fsync=False)))
        yield dsn
        runner.run(stack.aclose())


@pytest.fixture(scope="session")
def s3_environment() -> Iterator[dict[str, str]]:
    """Variables that lead to a real S3: a server of this session, unless LIFEMASK_TEST_S3 (s3://bucket) names another.

    For another, the AWS_* variables say how it is reached.
    """
    if named := os.environ.get("LIFEMASK_TEST_S3"):
        yield {"LIFEMASK_OBJECTS": named}
        return
    stack = AsyncExitStack()
    with tempfile.TemporaryDirectory(prefix="lm-s3-") as folder, asyncio.Runner() as runner:
        yield runner.run(stack.enter_async_context(running_s3(Path(folder)))).environment()
        runner.run(stack.aclose())


@pytest.fixture(scope="session")
def templates(postgres: str) -> dict[str, str]:
    """Names of databases migrated for one service, from which each test's database is copied."""
    return {}


@pytest.fixture
async def database(postgres: str, templates: dict[str, str]) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Makes a fresh database, migrated for a service; returns the DSN of the service's own role."""
    made: list[str] = []
    admin = await asyncpg.connect(postgres)

    async def make(service: str) -> str:
        if service not in templates:
            name = f"template_{schema_of(service)}_{uuid4().hex[:8]}"
            await admin.execute(f"create database {name}")
            await migrate(_dsn(postgres, "postgres", name), [service])
            templates[service] = name
        made.append(f"test_{uuid4().hex}")
        await admin.execute(f"create database {made[-1]} template {templates[service]}")
        return _dsn(postgres, role_of(service), made[-1])

    yield make
    for name in made:
        await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def migrated(database: Callable[[str], Awaitable[str]]) -> AsyncIterator[Migrated]:
    """Makes a fresh database for a service and opens a pool with the service's role and search path."""
    async with AsyncExitStack() as stack:

        async def make(service: str) -> Pool:
            dsn = await database(service)
            return await stack.enter_async_context(
                asyncpg.create_pool(dsn, min_size=1, max_size=8, server_settings={"search_path": schema_of(service)})
            )

        yield make


def _dsn(admin: str, role: str, name: str) -> str:
    """The same server as another role and with another database."""
    query = admin.partition("?")[2]
    return f"postgresql://{role}@/{name}?{query}"
