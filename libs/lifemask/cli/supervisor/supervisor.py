"""Children as one whole: started in order of readiness, stopped in order of groups, ended with the supervisor."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from lifemask.cli.supervisor.child import Child, Failure
from lifemask.cli.supervisor.console import Console
from lifemask.cli.supervisor.keeper import Keeper

_ORPHAN_GRACE = 3.0  # seconds for children that lost what they live on: they may wait for it in vain
_LEAST_GRACE = 0.3  # seconds that every group has, however long the ones before it took


class StartError(Exception):
    """The children did not become ready. The text names who and why."""


class Interrupted(Exception):
    """SIGINT or SIGTERM came, and everything has been stopped."""


class Supervisor:
    """Keeps children running. The write end of `watch_fd`'s pipe is here alone, so its end is ours."""

    def __init__(self, console: Console) -> None:
        self.stopping = False
        self.news = asyncio.Condition()
        self.watch_fd, self._held_fd = os.pipe()
        self._console = console
        self._keepers: dict[str, Keeper] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()

    async def start(self, children: Sequence[Child], patience: float = 60.0) -> None:
        """Returns when all are ready; raises StartError after `patience` seconds or when one cannot run."""
        for child in in_order(children):
            needs = tuple(self._keepers[name] for name in child.after)
            self._keepers[child.name] = keeper = Keeper(child, needs, self)
            task = asyncio.create_task(keeper.keep(), name=f"keep {child.name}")
            task.add_done_callback(self._notice_fault)
            self._tasks.append(task)
        await self._until_ready(self._keepers.values(), patience)

    async def restart(self, name: str, patience: float = 60.0) -> None:
        """Stops a child, and first those who live on its gifts; returns when all of them are ready again."""
        keeper = self._keepers[name]
        dependents = self._dependents(keeper) if keeper.child.gives else []
        await self.stop_children([name])
        await self.start_children([name, *(each.child.name for each in dependents if not each.held)], patience)

    async def stop_children(self, names: Iterable[str]) -> None:
        """Stops children until `start_children` or `restart`; who lives on their gifts waits for them."""
        for keeper in (named := [self._keepers[name] for name in names]):
            keeper.held = True
            keeper.is_ready = False
            if keeper.child.gives:
                await self.stop_dependents(keeper)
        await self._halt(named, longest_grace=60.0)

    async def start_children(self, names: Iterable[str], patience: float = 60.0) -> None:
        """The contrary of `stop_children`; returns when they are ready."""
        keepers = [self._keepers[name] for name in names]
        async with self.news:
            for keeper in keepers:
                keeper.held = False
            self.news.notify_all()
        await self._until_ready(keepers, patience)

    async def stop(self, within: float = 9.0) -> None:
        """Ends everything in at most about `within` seconds: SIGTERM, group by group, then SIGKILL."""
        self.stopping = True
        deadline = asyncio.get_running_loop().time() + within
        await self._halt(self._keepers.values(), deadline=deadline)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for fd in (self.watch_fd, self._held_fd):
            os.close(fd)

    def kill(self) -> None:
        """SIGKILL to all children, for somebody who will not wait; `stop` still has to be awaited."""
        for keeper in self._keepers.values():
            keeper.kill()

    @property
    def pids(self) -> dict[str, int]:
        """Of the children that run now."""
        return {name: keeper.pid for name, keeper in self._keepers.items() if keeper.pid is not None}

    async def wait_failed(self) -> Failure:
        """Returns when a child has ended in a way that no further start can mend."""
        return await asyncio.shield(self._failed)

    def say(self, name: str, text: str) -> None:
        self._console.line(name, text)

    def fail(self, failure: Failure) -> None:
        if not self._failed.done():
            self._failed.set_result(failure)

    async def stop_dependents(self, keeper: Keeper) -> None:
        """Stops whoever lives on this child's gifts; they start again by themselves when it is ready."""
        await self._halt(self._dependents(keeper), longest_grace=_ORPHAN_GRACE)

    def _dependents(self, keeper: Keeper) -> list[Keeper]:
        found = {keeper}
        for other in self._keepers.values():  # in order: whoever is needed comes first
            if found.intersection(other.needs):
                found.add(other)
        return [other for other in self._keepers.values() if other in found and other is not keeper]

    async def _halt(
        self, keepers: Iterable[Keeper], *, longest_grace: float = 60.0, deadline: float | None = None
    ) -> None:
        chosen = list(keepers)
        for group in sorted({keeper.child.group for keeper in chosen}, reverse=True):
            if deadline is not None:
                longest_grace = max(deadline - asyncio.get_running_loop().time(), _LEAST_GRACE)
            await asyncio.gather(*(keeper.halt(longest_grace) for keeper in chosen if keeper.child.group == group))

    async def _until_ready(self, keepers: Iterable[Keeper], patience: float) -> None:
        wanted = list(keepers)
        failed = asyncio.ensure_future(self.wait_failed())
        ready = asyncio.ensure_future(self._all_ready(wanted))
        try:
            await asyncio.wait({failed, ready}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                raise StartError(str(failed.result()))
            if not ready.done():
                late = ", ".join(keeper.child.name for keeper in wanted if not keeper.is_ready)
                raise StartError(f"not ready after {patience:.0f} s: {late}; their logs say more")
        finally:
            failed.cancel()
            ready.cancel()
            await asyncio.gather(failed, ready, return_exceptions=True)

    async def _all_ready(self, keepers: Sequence[Keeper]) -> None:
        async with self.news:
            await self.news.wait_for(lambda: all(keeper.is_ready for keeper in keepers))

    def _notice_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.fail(Failure(task.get_name(), None, f"{type(error).__name__}: {error}"))


def in_order(children: Sequence[Child]) -> list[Child]:
    """Each child after those it needs; raises ValueError for an unknown or circular need, or a name twice."""
    waiting, placed = {child.name: child for child in children}, dict[str, Child]()
    if len(waiting) < len(children):
        raise ValueError("two children have the same name")
    while waiting:
        free = [child for child in waiting.values() if all(name in placed for name in child.after)]
        if not free:
            raise ValueError(f"these wait for each other or for a child that is not there: {', '.join(waiting)}")
        for child in free:
            placed[child.name] = waiting.pop(child.name)
    return list(placed.values())


@contextlib.asynccontextmanager
async def supervised(children: Sequence[Child], console: Console, patience: float = 60.0) -> AsyncIterator[Supervisor]:
    """All children, ready, for as long as the block lasts.

    SIGINT or SIGTERM ends the block, stops everything, and then raises Interrupted; a second one kills at once.
    Raises StartError when they do not become ready.
    """
    supervisor = Supervisor(console)
    came: list[signal.Signals] = []
    try:
        with _signals(supervisor, came):
            try:
                await supervisor.start(children, patience)
                yield supervisor
            finally:
                await _finish(asyncio.ensure_future(supervisor.stop()))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not came or task is None:
            raise
        task.uncancel()
        raise Interrupted(came[0].name) from None


async def _finish(stop: asyncio.Future[None]) -> None:
    """Awaits `stop` to its end even when this task is cancelled meanwhile."""
    cancelled = None
    while not stop.done():
        try:
            await asyncio.shield(stop)
        except asyncio.CancelledError as error:
            cancelled = error
    stop.result()
    if cancelled:
        raise cancelled


@contextlib.contextmanager
def _signals(supervisor: Supervisor, came: list[signal.Signals]) -> Iterator[None]:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        came.append(number)
        if supervisor.stopping or len(came) > 1:
            supervisor.kill()
        elif task is not None:
            task.cancel()

    handled = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in handled}
    for number in handled:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number] or signal.SIG_DFL)
