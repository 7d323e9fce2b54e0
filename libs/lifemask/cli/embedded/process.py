"""What the wrapper processes of embedded parts have in common: readiness told by a file, an end by signal or pipe."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from lifemask.runtime.watch import WATCH_FD_VARIABLE, die_with_parent

_START_PATIENCE = 90.0  # seconds, above what a part allows itself
_POLL = 0.01


class EmbeddedPartError(Exception):
    """An embedded part cannot run here. The text says what to do."""


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every embedded part takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--ready-file", type=Path, required=True, help="gets the address once the part answers")
    parser.add_argument(
        "--watch-fd",
        type=int,
        default=os.environ.get(WATCH_FD_VARIABLE),
        help=f"read end of the parent's pipe: this process ends when it closes (default: {WATCH_FD_VARIABLE})",
    )
    return parser


def stop_event(watch_fd: int | None) -> threading.Event:
    """An event that is set by SIGTERM, SIGINT or the end of the parent."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    die_with_parent(watch_fd)
    return stop


def announce(ready_file: Path, address: str) -> None:
    """Writes `address` so that a reader sees either no file or the whole of it."""
    ready_file.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=ready_file.parent, prefix=f".{ready_file.name}.")
    with os.fdopen(fd, "w") as file:
        file.write(address)
    Path(name).replace(ready_file)


def announced(ready_file: Path) -> str | None:
    """The address that a part has announced, if it has."""
    try:
        return ready_file.read_text()
    except FileNotFoundError:
        return None


@contextlib.asynccontextmanager
async def spawned(module: str, *options: str) -> AsyncIterator[str]:
    """Runs an embedded part as a child for as long as the block lasts; yields the address it announces.

    Raises EmbeddedPartError when it ends or says nothing; its own words are on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="lifemask-part-") as folder:
        ready, (watched, held) = Path(folder) / "ready", os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, "--ready-file", str(ready), "--watch-fd", str(watched), *options),
                pass_fds=(watched,),
                start_new_session=True,
            )
        finally:
            os.close(watched)
        try:
            yield await _address(module, process, ready)
        finally:
            os.close(held)
            await process.wait()


async def _address(module: str, process: asyncio.subprocess.Process, ready: Path) -> str:
    async with asyncio.timeout(_START_PATIENCE):
        while (address := announced(ready)) is None:
            if process.returncode is not None:
                raise EmbeddedPartError(f"{module} ended with code {process.returncode} before it was ready")
            await asyncio.sleep(_POLL)
    return address
