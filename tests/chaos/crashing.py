"""Ends this process by its own hand, at a named moment: only in processes that the tests start.

LIFEMASK_TEST_CRASHES names a folder. A file `armed/trainer.after_create` in it says at which hit this process kills
itself there: `1 kill`, `2 kill`, stops itself: `1 stop`, or lets whoever came by wait there while everything else in
it goes on: `1 hold`. Hits are counted in the file, across restarts. Before it dies the process moves the file to
`fired/trainer.after_create:1`, so that a point strikes once however often the supervisor starts the process again.
LIFEMASK_CRASH_AT=trainer.after_create:1,trainer.before_get:2 arms points for a start by hand.
"""

import asyncio
import contextlib
import fcntl
import functools
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.calls import COMMIT, Call, calls_of, kind_of, points_of

FOLDER: Final = "LIFEMASK_TEST_CRASHES"
CRASH_AT: Final = "LIFEMASK_CRASH_AT"
_MARK: Final = "update outbox set sent_at = now()"
HOLD: Final = "hold"
_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Points:
    """The armed points of a folder, seen from inside of a service or from a test."""

    def __init__(self, folder: Path) -> None:
        folders = (folder / name for name in ("armed", "fired", "held", "seen"))
        self._armed, self._fired, self._held, self._seen = folders
        for each in (self._armed, self._fired, self._held, self._seen):
            each.mkdir(parents=True, exist_ok=True)
        self._known: set[str] = set()

    def arm(self, point: str, hit: int = 1, action: str = "kill") -> None:
        """Lets the point strike at this hit from now on; once."""
        with contextlib.suppress(FileNotFoundError):
            (self._fired / f"{point}:{hit}").unlink()
        if action == HOLD:
            (self._held / point).touch()
        fresh = self._armed / f".{point}"
        fresh.write_text(f"{hit} {action} {hit}")
        fresh.replace(self._armed / point)

    def arm_once(self, point: str, hit: int) -> None:
        """The same unless it has struck already."""
        if not (self._fired / f"{point}:{hit}").exists() and not (self._armed / point).exists():
            self.arm(point, hit)

    def disarm(self, point: str) -> bool:
        """Whether it was still armed."""
        try:
            (self._armed / point).unlink()
        except FileNotFoundError:
            return False
        return True

    def has_fired(self, point: str, hit: int = 1) -> bool:
        return (self._fired / f"{point}:{hit}").exists()

    def seen(self) -> set[str]:
        """Every point that any process passed."""
        return {path.name for path in self._seen.iterdir()}

    def release(self, point: str) -> None:
        """Lets whoever is held there go on."""
        (self._held / point).unlink()

    def is_held(self, point: str) -> bool:
        return (self._held / point).exists()

    def hit(self, point: str) -> str | None:
        """Called in a service's process at each point. When it is this one's turn, ends or stops the process, or
        returns what else it was armed with.
        """
        if point not in self._known:
            self._known.add(point)
            (self._seen / point).touch()
        try:
            file = os.open(path := self._armed / point, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            left, action, hit = os.read(file, 64).decode().split()
            if not path.exists():
                return None
            if int(left) > 1:
                os.pwrite(file, f"{int(left) - 1} {action} {hit}".encode(), 0)
                return None
            path.replace(self._fired / f"{point}:{hit}")
        finally:
            os.close(file)
        if action in _SIGNALS:
            os.kill(os.getpid(), _SIGNALS[action])
        return action


@dataclass(frozen=True, slots=True)
class Point:
    """One point in a service's process."""

    points: Points
    name: str

    def hit(self) -> None:
        """Where nobody can wait."""
        self.points.hit(self.name)

    async def passed(self) -> None:
        """Where whoever comes by may be held."""
        if self.points.hit(self.name) == HOLD:
            while self.points.is_held(self.name):  # noqa: ASYNC110  it belongs to another process
                await asyncio.sleep(0.05)


def wrap_service(service: str) -> None:
    """Puts a point before and after every outside call of a service, in this process."""
    points = Points(Path(os.environ[FOLDER]))
    for named in filter(None, os.environ.get(CRASH_AT, "").split(",")):
        point, _, hit = named.partition(":")
        points.arm_once(point, int(hit or 1))
    importlib.import_module(f"lifemask.{service}.wiring")
    for call in calls_of(service):
        before, after = points_of(service, call.label)
        _wrap(call, Point(points, before), Point(points, after))


def _wrap(call: Call, before: Point, after: Point) -> None:
    if call.owner == "ObjectStore":
        for module, store in (("local", "LocalObjects"), ("s3", "S3Objects")):
            found = getattr(importlib.import_module(f"lifemask.objects.{module}"), store)
            setattr(found, call.name, wrapped(vars(found)[call.name], before, after))
    elif not call.module:
        _LOOPS[call.label](before, after)
    elif call.owner:
        owner = getattr(importlib.import_module(call.module), call.owner)
        setattr(owner, call.name, wrapped(vars(owner)[call.name], before, after))
    else:
        original = getattr(importlib.import_module(call.module), call.name)
        _replace(original, wrapped(original, before, after, closing=call.label == COMMIT))


def _replace(original: Any, other: Any) -> None:
    """Everywhere where somebody has imported it by name."""
    for name, module in list(sys.modules.items()):
        if name.startswith("lifemask."):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    setattr(module, attribute, other)


def wrapped(function: Any, before: Point, after: Point, *, closing: bool = True) -> Any:
    """The same with two points. A stream's: before its first item and after its last; a block's: around its end."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        await before.passed()
        found = await function(*args, **kwargs)
        await after.passed()
        return found

    @functools.wraps(function)
    async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        await before.passed()
        async with contextlib.aclosing(function(*args, **kwargs)) as items:
            async for item in items:
                yield item
        await after.passed()

    @contextlib.asynccontextmanager
    @functools.wraps(getattr(function, "__wrapped__", function))
    async def block(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with function(*args, **kwargs) as found:
            yield found
            await before.passed()
        await after.passed()

    kind = kind_of(function)
    assert kind is not None
    return {"call": call, "stream": stream, "context": block}[kind]


def _produce(before: Point, after: Point) -> None:
    from aiokafka import AIOKafkaProducer

    send = AIOKafkaProducer.send

    async def sending(self: Any, *args: Any, **kwargs: Any) -> "asyncio.Future[object]":
        await before.passed()
        sent: asyncio.Future[object] = await send(self, *args, **kwargs)
        sent.add_done_callback(lambda _: after.hit())
        return sent

    AIOKafkaProducer.send = sending


def _mark(before: Point, after: Point) -> None:
    import asyncpg

    execute = asyncpg.Connection.execute

    async def marking(self: Any, query: str, *args: Any, **kwargs: Any) -> str:
        if not query.startswith(_MARK):
            return await execute(self, query, *args, **kwargs)
        await before.passed()
        done = await execute(self, query, *args, **kwargs)
        await after.passed()
        return done

    setattr(asyncpg.Connection, "execute", marking)  # noqa: B010  mypy would not let a method be assigned


def _poll(before: Point, after: Point) -> None:
    from aiokafka import AIOKafkaConsumer

    AIOKafkaConsumer.getmany = wrapped(AIOKafkaConsumer.getmany, before, after)


def _ack(before: Point, after: Point) -> None:
    from faststream.kafka.message import KafkaAckableMessage

    setattr(KafkaAckableMessage, "ack", wrapped(KafkaAckableMessage.ack, before, after))  # noqa: B010  likewise


_LOOPS: Final = {"bus.produce": _produce, "bus.mark": _mark, "bus.poll": _poll, "bus.ack": _ack}
