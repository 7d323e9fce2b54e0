"""The embedded stack for measurements of the whole: `lifemask up` without its terminal."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from lifemask.cli.chosen import isolated
from lifemask.cli.machine import Machine, running
from lifemask.cli.supervisor import Console


@asynccontextmanager
async def embedded(home: Path, named: Mapping[str, str] | None = None, **settings: str) -> AsyncIterator[Machine]:
    """Everything, ready; `settings` are environment variables of the services and the sandbox.

    `named`: variables that name real parts in place of embedded ones.
    """
    console = Console(home / "logs", None)
    parts = dict(named or {})
    try:
        with _set(settings | parts):
            async with running(isolated(os.environ) | parts, home, console) as machine:
                yield machine
    finally:
        console.close()


async def keep_only(machine: Machine, *names: str) -> None:
    """Stops every part but these, for measurements of one service."""
    await machine.supervisor.stop_children(set(machine.supervisor.pids) - set(names))


@contextmanager
def _set(settings: dict[str, str]) -> Iterator[None]:
    """Children inherit this process's environment."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
