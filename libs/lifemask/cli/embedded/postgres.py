"""The embedded PostgreSQL 18: a wrapper process that owns a server and never leaves it behind.

    python -m lifemask.cli.embedded.postgres --data DIR --ready-file FILE [--watch-fd N] [--no-fsync]

It makes the data directory when there is none, starts the server on a Unix socket alone, writes the DSN into FILE, and
stops the server on SIGTERM or when its parent is gone. When the wrapper itself is killed by SIGKILL, a small shell
process that watches a pipe does the same; when that is killed too, the next start ends the server it finds.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

from lifemask.cli.embedded.account import Account
from lifemask.cli.embedded.cluster import Cluster, environment
from lifemask.cli.embedded.process import EmbeddedPartError, announce, arguments, spawned, stop_event

_START_PATIENCE = 60.0  # seconds; recovery after a crash reads the log since the last checkpoint
_LOCK_PATIENCE = 15.0  # seconds; a predecessor whose parent died has 8 s to stop
_POLL = 0.01

# Together below the 8 s after which a wrapper without parent is ended.
_FAST_STOP, _IMMEDIATE_STOP = 5.0, 2.0

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "log_checkpoints": "off",
    # Statements and the values of a violated key are users' data, and this log is shown.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Commits still reach the kernel: a killed server loses nothing, a killed machine may.
_NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}

# $1 is the server's pid, $2 its socket folder. Reads until the wrapper is gone.
_GUARD = """
cat >/dev/null
kill -INT "$1"
n=0
while kill -0 "$1" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
rm -rf "$2"
"""


@contextlib.contextmanager
def server(
    home: Path, *, fsync: bool, stop: threading.Event, lock_patience: float = _LOCK_PATIENCE
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Yields the running server and its DSN; ends it afterwards. Raises EmbeddedPartError when it does not start."""
    account = Account.for_server()
    cluster = Cluster(home.resolve(), account, lock_patience)
    owner = cluster.own()
    lock = cluster.claim()
    try:
        cluster.initialize()
        with (
            cluster.sockets() as sockets,
            _process(cluster, account, sockets, lock, fsync=fsync) as process,
            _guard(process.pid, sockets),
        ):
            _await_ready(cluster, process, stop)
            yield process, f"postgresql://postgres@/postgres?host={quote(str(sockets))}"
    finally:
        os.close(lock)
        os.close(owner)


@contextlib.contextmanager
def _process(
    cluster: Cluster, account: Account, sockets: Path, lock: int, *, fsync: bool
) -> Iterator[subprocess.Popen[bytes]]:
    settings = _SETTINGS | {"unix_socket_directories": str(sockets)} | ({} if fsync else _NO_FSYNC)
    command = [str(cluster.bin / "postgres"), "-D", str(cluster.data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    process = subprocess.Popen(  # noqa: S603  arguments are ours
        command,
        stdin=subprocess.DEVNULL,
        env=environment(),
        cwd="/",
        pass_fds=(lock,),
        start_new_session=True,  # Ctrl-C in a terminal must not reach the server before the services are done
        **account.popen(),
    )
    try:
        yield process
    finally:
        _end(process)


@contextlib.contextmanager
def _guard(pid: int, sockets: Path) -> Iterator[None]:
    guard = subprocess.Popen(  # noqa: S603  arguments are ours
        ["/bin/sh", "-c", _GUARD, "sh", str(pid), str(sockets)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def _await_ready(cluster: Cluster, process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    deadline = time.monotonic() + _START_PATIENCE
    while not ((found := cluster.postmaster()) and found.ready and found.pid == process.pid):
        if process.poll() is not None:
            raise EmbeddedPartError(f"PostgreSQL ended at its start with code {process.returncode}: its log is above")
        if time.monotonic() > deadline:
            raise EmbeddedPartError(f"PostgreSQL did not become ready within {_START_PATIENCE:.0f} s")
        if stop.wait(_POLL):
            raise EmbeddedPartError("stopped before PostgreSQL was ready")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; then an immediate one, from which the next start recovers."""
    for number, patience in ((signal.SIGINT, _FAST_STOP), (signal.SIGQUIT, _IMMEDIATE_STOP)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(number)
            process.wait(patience)
            return
    process.kill()
    process.wait()


@contextlib.asynccontextmanager
async def running_postgres(data: Path, fsync: bool = True) -> AsyncIterator[str]:
    """The embedded server in its own processes, for as long as the block lasts; yields its DSN."""
    options = ["--data", str(data)] + ([] if fsync else ["--no-fsync"])
    async with spawned("lifemask.cli.embedded.postgres", *options) as dsn:
        yield dsn


def main() -> int:
    parser = arguments("PostgreSQL 18 that ends with its parent")
    parser.add_argument("--data", type=Path, required=True, help="data directory, made when missing")
    parser.add_argument("--no-fsync", action="store_true", help="for tests: quicker, not safe when the machine fails")
    parser.add_argument(
        "--lock-patience",
        type=float,
        default=_LOCK_PATIENCE,
        help="seconds that a predecessor in the same directory may take to end (default: %(default)s)",
    )
    options = parser.parse_args()
    stop = stop_event(options.watch_fd)
    try:
        running = server(options.data, fsync=not options.no_fsync, stop=stop, lock_patience=options.lock_patience)
        with running as (process, dsn):
            announce(options.ready_file, dsn)
            print(f"embedded PostgreSQL: {dsn}", flush=True)
            return _serve(process, stop)
    except EmbeddedPartError as error:
        print(error, file=sys.stderr)
        return 3


def _serve(process: subprocess.Popen[bytes], stop: threading.Event) -> int:
    def notice_end() -> None:
        process.wait()
        stop.set()

    threading.Thread(target=notice_end, daemon=True).start()
    stop.wait()
    if process.poll() is None:
        return 0
    print(f"PostgreSQL ended by itself with code {process.returncode}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
