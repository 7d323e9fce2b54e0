"""The whole system as `lifemask up` starts it: a process, its data directory, and everything it started."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]  # brings no types
from tests.one_machine.waiting import is_running, wait_until

from lifemask.cli.chosen import isolated

UP: Final = (sys.executable, "-m", "lifemask.cli.main", "up", "--json")
WATCHED, _HELD = os.pipe()
"""Held open by the process of the tests: no system outlives it, however it ends."""

QUICK: Final = {
    "LIFEMASK_SANDBOX_QUEUE_SECONDS": "0.05",
    "LIFEMASK_SANDBOX_TRAINING_SECONDS": "0.5",
    "LIFEMASK_SANDBOX_WEIGHT_BYTES": "200000",
    "LIFEMASK_SANDBOX_WEBHOOK_RETRY_SECONDS": "10",
    "LIFEMASK_LOOK_FIRST": "0.5",
    "LIFEMASK_RECONCILE_FIRST": "0.3",
    "LIFEMASK_WATCH_FIRST": "0.3",
    "LIFEMASK_BACKOFF": "0.3",
    "LIFEMASK_LEASE": "4",
    "LIFEMASK_STOP_GRACE": "2",
    "LIFEMASK_NOTIFY_FIRST_DELAY": "0.5",
    "LIFEMASK_STREAM_POLL": "0.05",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
}
"""What makes a run short. Nothing here changes what is decided, only how long it is waited for."""


class Stack:
    """One `lifemask up`. `start` after `kill_all` or `stop` goes on with the same data."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.data = folder / "data"
        self.log = folder / "up.log"
        self.facts: dict[str, Any] = {}
        self.reported: set[str] = set()
        self._environment = {**isolated(os.environ), **QUICK, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*UP, "--data", str(self.data), "--watch-fd", str(WATCHED)],
                pass_fds=(WATCHED,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # tells the app's key to whoever started it
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        wait_until(self._is_announced, 45)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        return str(self.facts["url"])

    @property
    def sandbox(self) -> dict[str, str]:
        found: dict[str, str] = self.facts["sandbox"]
        return found

    @property
    def dsn(self) -> str:
        return (self.data / "run" / "postgres.ready").read_text()

    @property
    def kafka(self) -> str:
        return (self.data / "run" / "kafka.ready").read_text()

    def pids(self) -> list[int]:
        """Of `up` and of everything below it: services, broker, PostgreSQL with its backends, their guards."""
        return [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]

    def pid_of(self, service: str) -> int:
        """Of the service's process that runs now; 0 while there is none."""
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[-1:] == [f"lifemask.{service}"]:
                    return int(child.pid)
        return 0

    def kill(self, service: str) -> int:
        """SIGKILL to one service; returns the pid it had."""
        os.kill(pid := self.pid_of(service), signal.SIGKILL)
        return pid

    def kill_all(self) -> None:
        """SIGKILL to everything at once: nobody can tidy up."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap()
        wait_until(lambda: not any(map(is_running, pids)))

    def kill_supervisor(self) -> list[int]:
        """SIGKILL to `up` alone; returns the pids of those it leaves."""
        left = self.pids()[1:]
        os.kill(self.pid, signal.SIGKILL)
        self._reap()
        return left

    def stop(self) -> tuple[int, float, list[int]]:
        """Ctrl-C: exit code, seconds, and the pids that still ran afterwards, which are ended then."""
        if not self.is_up:
            return 0, 0.0, []
        pids, began = self.pids(), time.monotonic()
        os.kill(self.pid, signal.SIGINT)
        left = pids
        try:
            code = self._reap(timeout=20)
            seconds = time.monotonic() - began
        finally:
            left = [pid for pid in pids if is_running(pid)]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        return code, seconds, left

    def _reap(self, timeout: float = 10) -> int:
        assert self._process is not None
        return self._process.wait(timeout)

    def _is_announced(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"up ended with {self._process.returncode}: {self.log.read_text()[-3000:]}"
        try:
            found = json.loads((self.data / "up.json").read_text())
        except (OSError, ValueError):
            return False
        if found["pid"] != self.pid:
            return False
        self.facts = found
        return True
