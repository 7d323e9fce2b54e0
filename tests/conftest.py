"""Fixtures that more than one folder of tests uses."""

import asyncio
import functools
import gc
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import botocore.loaders
import botocore.session
import httpx
import httpx2
import pytest
import structlog
from hypothesis import settings
from tests.databases import Databases, Kind
from tools.s3 import running_s3
from xdist.remote import Producer  # type: ignore[import-untyped]  # published without types
from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]  # likewise

from lifemask.bus.roles import role_of, schema_of
from lifemask.bus.rows import Pool
from lifemask.cli.embedded.postgres import running_postgres
from lifemask.testkit.keys import write_keys

TOGETHER = (
    "tests/system/",
    "tests/cli/test_portraits.py",
    "tests/contracts/test_asyncapi.py",
    "tests/deploy/test_compose.py",
)
"""Each goes to one worker, which then starts one system, draws one album, parses one document."""
ELSEWHERE = ("tests/system/", "tests/chaos/")
"""What is tested here runs in other processes: nothing is measured, and being measured takes twice as long."""

gc.disable()  # what is loaded and collected stays: walking it again and again takes a third of that time

# One for all clients of a test process: reading the certificates of all authorities takes 18 ms, for each client anew.
for transports in (httpx._transports.default, httpx2._transports.default):
    setattr(transports, "create_ssl_context", functools.cache(transports.create_ssl_context))  # noqa: B010  mypy lets nobody assign
# Likewise what boto reads about S3 for each session anew, 0.1 s.
setattr(botocore.session, "create_loader", functools.cache(botocore.loaders.create_loader))  # noqa: B010
# Exceptions as Python prints them: structlog's own way of drawing them takes 0.1 s each where rich is installed.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

settings.register_profile("suite", max_examples=30, deadline=None)
settings.load_profile("suite")
"""Enough to notice a slip within the suite's minutes; a longer search: `--hypothesis-profile=default`."""

MakeDatabase = Callable[..., Awaitable[str]]
Migrated = Callable[..., Awaitable[Pool]]


class Together(LoadGroupScheduling):  # type: ignore[misc]  # likewise
    """Tests that share what is dear to make go to one worker.

    By place: pytest-xdist 3.8.0 does not see the mark `xdist_group` under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        shared = (place for place in TOGETHER if nodeid.startswith(place))
        return next(shared, None) or str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # there is no such hook when tests run without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    return Together(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    measuring = sys.gettrace()
    if item.nodeid.startswith(ELSEWHERE):
        sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(measuring)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def keys_directory() -> Iterator[Path]:
    """Throw-away keys, where every service of this process looks for its own unless a test says otherwise."""
    with tempfile.TemporaryDirectory(prefix="lm-keys-") as folder:
        os.environ["LIFEMASK_KEYS"] = str(write_keys(Path(folder)))
        yield Path(folder)


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
def databases(postgres: str) -> Databases:
    return Databases(postgres)


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[MakeDatabase]:
    """Gives an empty database, migrated for a service; returns the DSN of the service's own role."""
    taken: list[tuple[Kind, str]] = []

    async def make(service: str, extra: str = "") -> str:
        kind = Kind(service, extra)
        taken.append((kind, await databases.take(kind)))
        return databases.dsn(taken[-1][1], role_of(service))

    yield make
    for kind, name in taken:
        await databases.give_back(kind, name)


@pytest.fixture
async def migrated(database: MakeDatabase) -> AsyncIterator[Migrated]:
    """Gives an empty database and opens a pool with the service's role and search path."""
    async with AsyncExitStack() as stack:

        async def make(service: str, extra: str = "") -> Pool:
            dsn = await database(service, extra)
            return await stack.enter_async_context(
                asyncpg.create_pool(dsn, min_size=1, max_size=8, server_settings={"search_path": schema_of(service)})
            )

        yield make
