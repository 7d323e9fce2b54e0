"""A running child process: its lines, its end, and nothing left behind."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from lifemask.runtime.watch import WATCH_FD_VARIABLE

_LONGEST_LINE = 64 * 1024  # bytes; a longer one is shown in pieces
_LAST_LINES = 0.5  # seconds that output may need after the end of its process


class Lines(asyncio.Protocol):
    """Cuts the output of one process into lines."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self.last = ""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._rest) > _LONGEST_LINE:
            self._say(self._rest)
            self._rest = b""

    def connection_lost(self, _error: Exception | None) -> None:
        if self._rest:
            self._say(self._rest)
        self.ended.set()

    def _say(self, line: bytes) -> None:
        self.last = line.decode(errors="replace").rstrip("\r")
        self._on_line(self.last)


class Process:
    """A child in a session of its own: Ctrl-C in the terminal reaches the supervisor alone."""

    def __init__(self, process: asyncio.subprocess.Process, lines: Lines, output: asyncio.ReadTransport) -> None:
        self._process = process
        self._lines = lines
        self._output = output
        self._gone = False
        self.asked_to_end = False

    @classmethod
    async def spawn(
        cls, argv: Sequence[str], env: Mapping[str, str], watch_fd: int, on_line: Callable[[str], None]
    ) -> Self:
        """Raises OSError when the program cannot be started."""
        readable, writable = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writable,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **env, WATCH_FD_VARIABLE: str(watch_fd)},
                pass_fds=(watch_fd,),
                start_new_session=True,
            )
        except BaseException:
            os.close(readable)
            raise
        finally:
            os.close(writable)
        file = os.fdopen(readable, "rb", buffering=0)
        output, lines = await asyncio.get_running_loop().connect_read_pipe(lambda: Lines(on_line), file)
        return cls(process, lines, output)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    @property
    def last_words(self) -> str:
        return self._lines.last

    async def wait(self) -> int:
        """The exit code, after the last line; what the process started itself is gone by then, too."""
        code = await self._process.wait()
        self.kill()
        self._gone = True
        with contextlib.suppress(TimeoutError):  # a grandchild in another session may keep the pipe open
            async with asyncio.timeout(_LAST_LINES):
                await self._lines.ended.wait()
        self._output.close()
        return code

    async def end(self, grace: float) -> None:
        """SIGTERM, `grace` seconds, SIGKILL."""
        self.asked_to_end = True
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        await self.wait()

    def kill(self) -> None:
        """SIGKILL to the process and all that it started in its session."""
        if self._gone:
            return  # the number may be a stranger's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
