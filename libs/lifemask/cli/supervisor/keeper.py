"""Keeps one child running: waits for those before it, starts it, notices its end, starts it again."""

import asyncio
import time
from typing import Protocol

from lifemask.cli.supervisor.child import FINAL_CODES, Backoff, Child, Environment, Failure
from lifemask.cli.supervisor.process import Process

_READY_POLL = 0.03  # seconds


class House(Protocol):
    """What all keepers share."""

    watch_fd: int
    stopping: bool
    news: asyncio.Condition
    """Notified when any child became ready, ended, or may be started again."""

    def say(self, name: str, text: str) -> None: ...
    def fail(self, failure: Failure) -> None: ...
    async def stop_dependents(self, keeper: "Keeper") -> None: ...


class Keeper:
    """One child. `held` keeps it from being started."""

    def __init__(self, child: Child, needs: tuple["Keeper", ...], house: House) -> None:
        self.child = child
        self.needs = needs
        self.held = False
        self.is_ready = False
        self._house = house
        self._process: Process | None = None
        self._own_gifts: Environment = {}
        self._starting = asyncio.Lock()
        self._backoff = Backoff()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def gifts(self) -> Environment:
        """The variables of this child and of all before it; the nearest wins."""
        return {**self._given(), **self._own_gifts}

    async def keep(self) -> None:
        """Runs until cancelled, or until the child has failed for good."""
        while True:
            async with self._house.news:
                await self._house.news.wait_for(self._may_start)
            process = await self._start()
            if process is None:
                continue
            ready_since = await self._follow(process)
            if self.child.once and self.is_ready:
                continue
            if not await self._carry_on(process, ready_since):
                return

    async def halt(self, longest_grace: float) -> None:
        """Ends the process, now or as soon as it is started; returns when it is gone."""
        self.is_ready = False
        async with self._starting:
            self.is_ready = False
            if self._process:
                await self._process.end(min(self.child.stop_grace, longest_grace))

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    def _may_start(self) -> bool:
        free = not (self._house.stopping or self.held or self.is_ready)
        return free and all(keeper.is_ready for keeper in self.needs)

    def _given(self) -> Environment:
        return {name: value for keeper in self.needs for name, value in keeper.gifts().items()}

    async def _start(self) -> Process | None:
        async with self._starting:
            if not self._may_start():
                return None
            if self.child.before_start:
                self.child.before_start()
            env = self.child.env(self._given())
            self._process = await Process.spawn(self.child.argv, env, self._house.watch_fd, self._say)
            return self._process

    async def _follow(self, process: Process) -> float | None:
        """Returns when the process has ended, with the time at which it had become ready."""
        ready_since = None
        if await self._becomes_ready(process):
            self._own_gifts = self.child.gives() if self.child.gives else {}
            ready_since = time.monotonic()
            await self._tell(ready=process)
        await process.wait()
        self._process = None
        if not self.child.once:
            await self._tell(ready=None)
        return ready_since

    async def _becomes_ready(self, process: Process) -> bool:
        if self.child.once:
            return await process.wait() == 0 and not process.asked_to_end
        deadline = time.monotonic() + self.child.start_patience
        while process.code is None and not process.asked_to_end:
            if time.monotonic() > deadline:
                self._say(f"not ready after {self.child.start_patience:.0f} s")
                process.kill()
                return False
            if self.child.ready is None or await self.child.ready():
                return not process.asked_to_end
            await asyncio.sleep(_READY_POLL)
        return False

    async def _tell(self, *, ready: Process | None) -> None:
        async with self._house.news:
            self.is_ready = ready is not None and not ready.asked_to_end
            self._house.news.notify_all()

    async def _carry_on(self, process: Process, ready_since: float | None) -> bool:
        """After an end: stops those who live on this child's gifts, then waits a little. False: no further start."""
        if self.child.gives and ready_since:
            await self._house.stop_dependents(self)
        if process.asked_to_end:
            return True
        code = process.code
        if code in FINAL_CODES or not self.child.restart:
            self._house.fail(Failure(self.child.name, code, process.last_words))
            return False
        wait = self._backoff.after(time.monotonic() - ready_since if ready_since else 0.0)
        self._say(f"ended with code {code}, starts again in {wait:.1f} s")
        await asyncio.sleep(wait)
        return True

    def _say(self, text: str) -> None:
        self._house.say(self.child.name, text)
