"""Waiting for what other processes do: a condition and a bound."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped]  # brings no types

from lifemask.cli.embedded.process import announced


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  the condition belongs to another process
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """False for a zombie, too: an orphan's new parent may be slow to bury it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Part:
    """An embedded part as a process whose pipe and pids a test can reach; ended with the block."""

    def __init__(self, ready: Path, module: str, *options: str) -> None:
        ready.unlink(missing_ok=True)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the block
        watched, self._held = os.pipe()
        command = [sys.executable, "-m", module, "--ready-file", str(ready), "--watch-fd", str(watched), *options]
        self._process = subprocess.Popen(command, pass_fds=(watched,), stderr=self._errors)
        os.close(watched)
        wait_until(lambda: announced(ready) is not None or self._process.poll() is not None)
        self.address = announced(ready) or ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def descendants(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def kill(self, *others: int) -> None:
        for pid in (self.pid, *others):
            with contextlib.suppress(ProcessLookupError):  # a backend may just have ended by itself
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def close_pipe(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def finish(self) -> tuple[int, str]:
        """Exit code and standard error; bounded."""
        code = self._process.wait(timeout=15)
        self._errors.seek(0)
        return code, self._errors.read().decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close_pipe()
        self.finish()
        self._errors.close()
