"""What real servers on one machine have in common: a cache, a process that never outlives us, a command that waits.

What is fetched or built is kept in LIFEMASK_CACHE (default: `lifemask` in the user's cache directory) and made once.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lifemask.runtime.watch import WATCH_FD_VARIABLE, die_with_parent

_POLL: Final = 0.05
_ORPHAN_POLL: Final = 0.5
_LAST_WORDS: Final = 2000  # bytes of a log that say why a server ended

# $1 is the server's pid. Reads until whoever started it is gone, then ends the server, by force after 8 s.
_GUARD: Final = """
cat >/dev/null
kill -TERM "$1" 2>/dev/null
n=0
while kill -0 "$1" 2>/dev/null && [ $n -lt 80 ]; do sleep 0.1; n=$((n+1)); done
kill -KILL "$1" 2>/dev/null
"""


class CannotRun(Exception):
    """A server cannot run here. The text says what to do."""


def cache() -> Path:
    """Where fetched and built things are kept."""
    if chosen := os.environ.get("LIFEMASK_CACHE"):
        return Path(chosen).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lifemask"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; `make` fills it the first time, as a whole or not at all."""
    place = cache() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second one waits for the first
        if not place.exists():
            fresh = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=place.parent))
            try:
                make(fresh)
                fresh.rename(place)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return place


def program(name: str, hint: str) -> str:
    """The path of an installed program. Raises CannotRun with the hint."""
    if found := shutil.which(name):
        return found
    raise CannotRun(f"There is no '{name}' on this machine. {hint}")


def run_tool(command: Sequence[str], what: str, env: Mapping[str, str] | None = None) -> str:
    """Runs a program to its end; its standard output. Raises CannotRun with its last words."""
    result = subprocess.run(  # noqa: S603  arguments are ours
        command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if result.returncode:
        words = (result.stderr or result.stdout)[-_LAST_WORDS:].strip()
        raise CannotRun(f"{what} failed with code {result.returncode}:\n{words}")
    return result.stdout


class Server:
    """A running program with its log; ended with the block, or by a guard when we are killed."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  arguments are ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # Ctrl-C is for us to pass on, in order
            )
        self._guard = subprocess.Popen(  # noqa: S603  arguments are ours
            ["/bin/sh", "-c", _GUARD, "sh", str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()

    def ask_to_end(self) -> None:
        """SIGTERM; does not wait."""
        self._process.terminate()

    def end(self, grace: float = 5.0) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds; 0 kills at once."""
        if grace:
            self.ask_to_end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self._process.kill()
        self._process.wait()
        self._guard.kill()
        self._guard.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


async def until(condition: Callable[[], Awaitable[bool]], servers: Sequence[Server], patience: float) -> None:
    """Waits for the condition. Raises CannotRun when a server ends before, or after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not await condition():
        for server in servers:
            if not server.is_running:
                raise CannotRun(f"{server.name} ended before it was ready:\n{server.last_words()}")
        if time.monotonic() > deadline:
            raise CannotRun(f"{servers[0].name} was not ready after {patience:.0f} s:\n{servers[0].last_words()}")
        await asyncio.sleep(_POLL)


async def answers(address: str) -> bool:
    """Whether something listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


@contextlib.contextmanager
def occupied(folder: Path) -> Iterator[Path]:
    """Makes a folder and keeps others out of it. Raises CannotRun when one is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(f"{folder} is in use by another server. Stop that one, or choose another --data.") from None
        yield folder.resolve()


def arguments(description: str, data: Path | None) -> argparse.ArgumentParser:
    """The options that every server takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=data, help="where it keeps its data")
    parser.add_argument("--fetch", action="store_true", help="only fetch or build what is needed, then end")
    parser.add_argument("--with-parent", action="store_true", help="end when the starting process is gone")
    return parser


def main(options: argparse.Namespace, fetch: Callable[[], object], running: Callable[[], "Running"]) -> int:
    """Runs a server until Ctrl-C, SIGTERM or the end of the parent. 3: something is missing here."""
    try:
        fetch()
        return 0 if options.fetch else asyncio.run(_serve(running, with_parent=options.with_parent))
    except CannotRun as problem:
        print(problem, file=sys.stderr)
        return 3
    except KeyboardInterrupt:  # while something is fetched
        return 130


Running = AbstractAsyncContextManager[tuple[str, Sequence[Server]]]
"""What to tell the person at the terminal, and whose end is ours."""


async def _serve(running: Callable[[], Running], *, with_parent: bool) -> int:
    stop = asyncio.Event()
    with _signals(stop, with_parent=with_parent):
        starting = asyncio.ensure_future(_hold(running, stop))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not starting.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        stopped.cancel()
    return 0


async def _hold(running: Callable[[], Running], stop: asyncio.Event) -> None:
    async with running() as (words, servers):
        print(words, flush=True)
        while not stop.is_set():
            for server in servers:
                if not server.is_running:
                    raise CannotRun(f"{server.name} ended by itself:\n{server.last_words()}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ORPHAN_POLL):
                    await stop.wait()


@contextlib.contextmanager
def _signals(stop: asyncio.Event, *, with_parent: bool) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if watched := os.environ.get(WATCH_FD_VARIABLE):
        die_with_parent(int(watched))
    if with_parent:
        threading.Thread(target=_await_orphaned, args=(os.getppid(),), daemon=True).start()
    yield


def _await_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_POLL)
    os.kill(os.getpid(), signal.SIGTERM)
