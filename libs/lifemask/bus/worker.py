"""Workers: claim lanes, hand each message to its handler, store what comes out. Lanes run side by side."""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
import structlog
from opentelemetry import trace
from pydantic import ValidationError

from lifemask.bus import lanes
from lifemask.bus.dead import DeadLetters
from lifemask.bus.inbound import Table, header
from lifemask.bus.lanes import Claimed, Fenced, Message
from lifemask.bus.outbound import Cause, Outbound
from lifemask.bus.outcomes import (
    Keep,
    Later,
    Misconfigured,
    Outcome,
    Reminder,
    Retryable,
    Route,
    Unprocessable,
)
from lifemask.bus.retry import Limits, Pause, delay_after
from lifemask.bus.rows import Connection, Pool
from lifemask.bus.signals import Signals
from lifemask.contracts import Event, FailureCode, RunEvent, split_version
from lifemask.runtime.logs import hashed
from lifemask.runtime.telemetry import parent_of

log = structlog.get_logger()

DATABASE_AWAY = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)
"""Nothing can be decided without the database: the process ends and is started again."""


class RunOver(Exception):
    """The run ended while the handler was at work: its message is done, its run events are dropped."""


@dataclass
class Working:
    """The turn of one message in its lane; what a handler sees as `Turn`."""

    worker: "Worker"
    claimed: Claimed
    message: Message
    brings: bool
    commits: int = 0

    @property
    def got_at(self) -> datetime:
        return self.message.got_at

    @property
    def epoch(self) -> int:
        return self.claimed.epoch

    @property
    def tries(self) -> int:
        return self.message.attempts

    async def check(self) -> None:
        async with self.worker.pool.acquire() as connection, connection.transaction():
            await self._hold(connection)

    async def commit(self, *outcomes: Later | Keep) -> None:
        self.commits += 1
        cause = cause_of(self.message)
        async with self.worker.pool.acquire() as connection, connection.transaction():
            await self._hold(connection)
            await self.worker.outbound.store(connection, cause, f"commit-{self.commits}", outcomes)
        self.worker.signals.reminders.set()

    async def _hold(self, connection: Connection) -> None:
        await lanes.lock(connection, self.claimed)
        if self.message.run_id is None:
            return
        passed = await connection.fetchval(
            "select passed_at is not null or cancel_requested_at is not null from baton "
            "where user_id = $1 and run_id = $2 for update",
            self.message.user_id,
            self.message.run_id,
        )
        if passed or (passed is None and self.brings):
            raise RunOver


@dataclass
class Worker:
    """All lanes of one process."""

    pool: Pool
    table: Table
    outbound: Outbound
    dead: DeadLetters
    ports: Mapping[str, object]
    limits: Limits
    signals: Signals
    pause: Pause
    active: dict[str, tuple[Claimed, asyncio.Task[None]]] = field(default_factory=dict)
    broken: BaseException | None = None
    """What ended a lane's task against all rules; ends the process."""

    async def run(self) -> None:
        """Claims and works until cancelled; then waits for nothing: leases and fences make that harmless."""
        try:
            while True:
                self.signals.lanes.clear()
                claimed = await self._claim()
                for one in claimed:
                    task = asyncio.create_task(self._work(one), name=f"lane {hashed(one.lane)}")
                    task.add_done_callback(self._observe)
                    self.active[one.lane] = (one, task)
                if self.broken:
                    raise self.broken
                if not claimed or len(self.active) >= self.limits.lanes:
                    await self.signals.wait(self.signals.lanes, self.limits.poll)
        finally:
            tasks = [task for _, task in self.active.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def step(self) -> int:
        """Works on what is ready now, one turn per lane, and returns how many lanes: for tests and tools."""
        claimed = await self._claim()
        await asyncio.gather(*(self._work(one) for one in claimed))
        return len(claimed)

    def _observe(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (problem := task.exception()) is not None:
            self.broken = problem

    async def keep_leases(self) -> None:
        """Renews the leases of all lanes at work, every third of a lease; stops handlers whose lane is lost."""
        while True:
            await asyncio.sleep(self.limits.lease.total_seconds() / 3)
            working = list(self.active.values())
            if not working:
                continue
            async with self.pool.acquire() as connection:
                ours = await lanes.renew(connection, [claimed for claimed, _ in working], self.limits.lease)
            for claimed, task in working:
                if claimed.lane not in ours:
                    log.warning("lane_lost", user=hashed(claimed.lane))
                    task.cancel()

    async def _claim(self) -> list[Claimed]:
        room = self.limits.lanes - len(self.active)
        if room <= 0:
            return []
        async with self.pool.acquire() as connection:
            if not self.pause.active:
                return await lanes.claim(connection, room, self.limits.lease, control_only=False)
            control = await lanes.claim(connection, room, self.limits.lease, control_only=True)
            probe = []
            if self.pause.may_probe() and len(control) < room:
                probe = await lanes.claim(connection, 1, self.limits.lease, control_only=False)
                for one in probe:
                    self.pause.probing(one.lane)
            return control + probe

    async def _work(self, claimed: Claimed) -> None:
        delay = timedelta(0)
        try:
            for _ in range(self.limits.burst):
                async with self.pool.acquire() as connection:
                    message = await lanes.take(connection, claimed)
                if message is None:
                    break
                again = await self._handle(claimed, message)
                if again is not None:
                    delay = again
                    break
            async with self.pool.acquire() as connection:
                await lanes.free(connection, claimed, delay)
        except Fenced:
            log.warning("lane_fenced_off", user=hashed(claimed.lane))
        finally:
            self.active.pop(claimed.lane, None)
            self.signals.lanes.set()

    async def _handle(self, claimed: Claimed, message: Message) -> timedelta | None:
        """Works on one message; returns None when the lane may go on, else how long it waits."""
        context, links = parent_of(message.run_id, header(message.headers, "traceparent"))
        name = f"{self.outbound.service} {message.type.removeprefix('lifemask.')}"
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.message.id": message.msg_id,
            "lifemask.user": hashed(message.user_id),
            "lifemask.attempt": message.attempts + 1,
        }
        if message.run_id:
            attributes["lifemask.run"] = message.run_id
        bound = structlog.contextvars.bound_contextvars(run=message.run_id, user=hashed(message.user_id))
        tracer = trace.get_tracer("lifemask.bus")
        with bound, tracer.start_as_current_span(name, context, trace.SpanKind.CONSUMER, attributes, links):
            return await self._decide(claimed, message)

    async def _decide(self, claimed: Claimed, message: Message) -> timedelta | None:
        if message.claims > self.limits.claims:
            await self.dead.bury(claimed, message, FailureCode.INTERNAL, "claimed too often: it ends every worker")
            return None
        try:
            await self._finish(claimed, message, await self._call(claimed, message))
        except (Fenced, *DATABASE_AWAY):
            raise
        except RunOver:
            await self._finish(claimed, message, ())
        except _TooNew:
            log.warning("message_too_new", type=message.type)
            return await self._wait(claimed, message, self.limits.backoff_max)
        except Retryable as problem:
            if not problem.counts:
                return await self._wait(claimed, message, problem.after or self.limits.backoff)
            return await self._retry(claimed, message, problem.code, "", problem.after)
        except Misconfigured as problem:
            delay = self.pause.start(problem)
            log.error("stage_paused", code=problem.code.value, detail=problem.detail, seconds=delay.total_seconds())  # noqa: TRY400  no fault of the code: no traceback
            return await self._wait(claimed, message, delay)
        except Unprocessable as problem:
            await self.dead.bury(claimed, message, problem.code, problem.detail)
            return None
        except Exception as bug:
            log.exception("handler_failed", type=message.type)
            return await self._retry(claimed, message, FailureCode.INTERNAL, type(bug).__name__, None)
        return None

    async def _call(self, claimed: Claimed, message: Message) -> Sequence[Outcome]:
        route, event = self._read(message)
        turn = Working(self, claimed, message, brings=route.brings is not None)
        wanted = list(inspect.signature(route.handler).parameters)[1:]
        given = {name: turn if name == "turn" else self.ports[name] for name in wanted}
        return await route.handler(event, **given)

    def _read(self, message: Message) -> tuple[Route, Event | Reminder]:
        route = self.table.routes.get(message.type)
        if route is None:
            family, version = split_version(message.type)
            if version > self.table.families.get(family, 0):
                raise _TooNew
            raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, "a version of this event that is handled no more")
        try:
            event = route.message.read(message.value)
        except ValidationError as problem:
            places = sorted({".".join(map(str, error["loc"])) or "body" for error in problem.errors()})
            raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, "unreadable: " + ", ".join(places[:5])) from None
        run = getattr(event, "run_id", None)
        if event.user_id != message.user_id or (isinstance(event, RunEvent) and run != message.run_id):
            raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, "body, key and subject name different users or runs")
        return route, event

    async def _finish(self, claimed: Claimed, message: Message, outcomes: Sequence[Outcome]) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await lanes.finish(connection, claimed, message)
            if outcomes and not await self.outbound.apply(connection, cause_of(message), outcomes):
                log.info("run_events_dropped", type=message.type)
        self.pause.got_through(claimed.lane)
        if outcomes:
            self.signals.stored()

    async def _retry(
        self, claimed: Claimed, message: Message, code: FailureCode, detail: str, after: timedelta | None
    ) -> timedelta | None:
        if message.attempts + 1 >= self.limits.attempts:
            await self.dead.bury(claimed, message, code, detail)
            return None
        delay = max(after or timedelta(0), delay_after(message.msg_id, message.attempts, self.limits))
        log.warning(
            "message_retried",
            type=message.type,
            code=code.value,
            attempt=message.attempts + 1,
            seconds=delay.total_seconds(),
        )
        async with self.pool.acquire() as connection, connection.transaction():
            await lanes.lock(connection, claimed)
            await lanes.fail(connection, message, self.dead.error(code, detail))
            if message.run_id and await connection.fetchval(
                "select cancel_requested_at is not null and passed_at is null from baton "
                "where user_id = $1 and run_id = $2",
                message.user_id,
                message.run_id,
            ):
                self.signals.batons.set()
        return delay

    async def _wait(self, claimed: Claimed, message: Message, delay: timedelta) -> timedelta:
        """The lane waits without the message having used up an attempt or a claim."""
        async with self.pool.acquire() as connection, connection.transaction():
            await lanes.lock(connection, claimed)
            await lanes.unclaim(connection, message)
        return delay


class _TooNew(Exception):
    """An event version that only a later deploy can read: its lane waits."""


def cause_of(message: Message) -> Cause:
    """What a message's outcomes derive their ids from."""
    return Cause(message.user_id, message.run_id, message.msg_id, message.replays)
