"""Workers: claim lanes, hand each message to its handler, store what comes out. Lanes run side by side.

What goes wrong in a handler is its message's affair: the lane backs off, whatever the exception (a time-out or a full
disk is an OSError, too). What goes wrong with the database ends the process, and the message is tried again.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from opentelemetry import trace

from lifemask.bus import lanes
from lifemask.bus.calls import Calls, TooNew
from lifemask.bus.circuit import AWAY, Circuits
from lifemask.bus.dead import DeadLetters
from lifemask.bus.ender import end_run
from lifemask.bus.finisher import Finisher
from lifemask.bus.guarding import note
from lifemask.bus.inbound import header
from lifemask.bus.lanes import Claimed, Fenced, Message
from lifemask.bus.outbound import Outbound
from lifemask.bus.outcomes import Misconfigured, Outcome, Retryable, Unprocessable
from lifemask.bus.retry import Limits, Pause, delay_after
from lifemask.bus.rows import DATABASE_AWAY, Connection, Pool, transaction
from lifemask.bus.signals import Signals
from lifemask.bus.stalling import Stalling
from lifemask.bus.stored import Stored
from lifemask.bus.turn import RunOver, Working, cause_of
from lifemask.contracts import Failure, FailureCode, RunFailed
from lifemask.contracts.signing import Reason
from lifemask.runtime.logs import hashed
from lifemask.runtime.telemetry import parent_of

log = structlog.get_logger()

_GIVE_BACK_SECONDS: Final = 1.0
"""For telling the database that a lane is free when its handler is stopped; else its lease runs out."""

Next = Message | timedelta | None
"""After a message: the lane's next one, or how long the lane waits, or nothing is left to do in it."""


@dataclass
class Worker:
    """All lanes of one process."""

    pool: Pool
    calls: Calls
    outbound: Outbound
    dead: DeadLetters
    limits: Limits
    signals: Signals
    pause: Pause
    circuits: Circuits
    finisher: Finisher
    stalling: Stalling
    stored: Stored
    active: dict[str, tuple[Claimed, asyncio.Task[None]]] = field(default_factory=dict)
    broken: BaseException | None = None
    """What ended a lane's task against all rules; ends the process."""
    stopping: bool = False

    async def run(self) -> None:
        """Claims and works until cancelled.

        Then handlers at work get a moment; those that need longer are cancelled and their lanes given back, so that
        the next process does not wait for the lease.
        """
        try:
            await self._claim_and_work()
        except asyncio.CancelledError:
            self.stopping = True
            if tasks := [task for _, task in self.active.values()]:
                await asyncio.wait(tasks, timeout=self.limits.grace)
            raise
        finally:
            tasks = [task for _, task in self.active.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim_and_work(self) -> None:
        while True:
            self.signals.lanes.clear()
            claimed = await self._claim()
            for one, message in claimed:
                task = asyncio.create_task(self._work(one, message), name=f"lane {hashed(one.lane)}")
                task.add_done_callback(self._observe)
                self.active[one.lane] = (one, task)
            if self.broken:
                raise self.broken
            if not claimed or len(self.active) >= self.limits.lanes:
                await self.signals.wait(self.signals.lanes, self.limits.poll)

    async def step(self) -> int:
        """Works on what is ready now, one turn per lane, and returns how many lanes: for tests and tools."""
        claimed = await self._claim()
        await asyncio.gather(*(self._work(one, message) for one, message in claimed))
        return len(claimed)

    def _observe(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (problem := task.exception()) is not None:
            self.broken = problem
            self.signals.lanes.set()

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
                if claimed.lane not in ours and not task.done():
                    log.warning("lane_lost", user=hashed(claimed.lane))
                    task.cancel()

    async def _claim(self) -> list[tuple[Claimed, Message | None]]:
        """Lanes that are ours now, each with its first message."""
        room = self.limits.lanes - len(self.active)
        if room <= 0:
            return []
        if self.pause.active and self.pause.may_probe() and await self.stalling.nothing_waits():
            self.pause.end()  # whoever met it is gone: the next message will show
            log.info("stage_resumed", reason="nothing waits")
        for circuit in self.circuits.untried():
            if await self.stalling.none_waits(circuit.kinds):
                circuit.pause.end()
                log.info("stage_resumed", code=circuit.code.value, reason="nothing waits")
        async with self.pool.acquire() as connection:
            claimed = await lanes.claim(connection, room, self.limits.lease, control_only=self.pause.active)
            if self.pause.active and self.pause.may_probe() and len(claimed) < room:
                probe = await lanes.claim(connection, 1, self.limits.lease, control_only=False)
                for one in probe:
                    self.pause.probing(one.lane)
                claimed += probe
            messages = await lanes.take(connection, claimed) if claimed else {}
        return [(one, messages.get(one.lane)) for one in claimed]

    async def _work(self, claimed: Claimed, message: Message | None) -> None:
        turns = 0
        after: Next = message or timedelta(0)
        try:
            while isinstance(after, Message):
                message, turns = after, turns + 1
                after = await self._handle(claimed, message, go_on=turns < self.limits.burst and not self.stopping)
            if after is not None:
                async with self.pool.acquire() as connection:
                    await lanes.free(connection, claimed, after)
        except Fenced:
            log.warning("lane_fenced_off", user=hashed(claimed.lane))
        except asyncio.CancelledError:
            await self._give_back(claimed, message)
            raise
        finally:
            self.active.pop(claimed.lane, None)
            self.signals.lanes.set()

    async def _take(self, claimed: Claimed) -> Message | timedelta:
        async with self.pool.acquire() as connection:
            taken = await lanes.take(connection, [claimed])
        return taken.get(claimed.lane) or timedelta(0)

    async def _give_back(self, claimed: Claimed, message: Message | None) -> None:
        """Frees the lane of a handler that was stopped; a lane that is lost is left alone."""
        with suppress(Exception):
            async with asyncio.timeout(_GIVE_BACK_SECONDS), transaction(self.pool) as connection:
                await lanes.lock(connection, claimed)
                if message is not None:
                    await lanes.unclaim(connection, message)
                await lanes.free(connection, claimed, timedelta(0))

    async def _handle(self, claimed: Claimed, message: Message, *, go_on: bool) -> Next:
        user = hashed(message.user_id or "")
        context, links = parent_of(message.run_id, header(message.headers, "traceparent"))
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.message.id": message.msg_id,
            "lifemask.user": user,
            "lifemask.attempt": message.attempts + 1,
        }
        if message.run_id:
            attributes["lifemask.run"] = message.run_id
        span = trace.get_tracer("lifemask.bus").start_as_current_span(
            f"{self.outbound.service} {message.type.removeprefix('lifemask.')}",
            context,
            trace.SpanKind.CONSUMER,
            attributes,
            links,
            record_exception=False,  # an exception's text may quote a row or a body
            set_status_on_exception=False,
        )
        with structlog.contextvars.bound_contextvars(run=message.run_id, user=user), span:
            return await self._decide(claimed, message, go_on=go_on)

    async def _decide(self, claimed: Claimed, message: Message, *, go_on: bool) -> Next:
        if message.claims > self.limits.claims:
            return await self._bury(
                claimed, message, FailureCode.INTERNAL, "claimed too often: it ends every worker", go_on=go_on
            )
        if (reason := self.stored.reason(message)) is not None:
            return await self._refuse(claimed, message, reason, go_on=go_on)
        if (wait := self.circuits.wait(message, claimed.lane)) is not None:
            return await self._wait(claimed, message, wait)
        try:
            return await self._finish(claimed, message, await self._call(claimed, message), go_on=go_on)
        except (Fenced, *DATABASE_AWAY):
            raise
        except RunOver:
            return await self._finish(claimed, message, (), go_on=go_on)
        except asyncio.CancelledError as canceled:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise  # it is us who are stopped; otherwise something the handler waited for was
            return await self._retry(claimed, message, canceled, go_on=go_on)
        except Exception as problem:  # noqa: BLE001  whatever it is, it is this message's affair
            return await self._recover(claimed, message, problem, go_on=go_on)

    async def _refuse(self, claimed: Claimed, message: Message, reason: Reason, *, go_on: bool) -> Next:
        """Closes a row that somebody else wrote or changed: no handler sees it, and the operator is told.

        A run that such a row stands for waits for nothing else: it ends as ours to mend.
        """
        async with transaction(self.pool) as connection:
            left = await lanes.finish(connection, claimed, message, go_on=go_on)
            await note(
                connection,
                message.user_id,
                message.run_id,
                kind=message.type,
                content=message.msg_id,
                reason=f"stored row: {reason.value}",
            )
            if message.run_id is not None:
                await self._end(connection, message, message.run_id)
        self.signals.stored()
        self.pause.got_through(claimed.lane)
        if isinstance(left, Message):
            return left
        return timedelta(0) if left else None

    async def _end(self, connection: Connection, message: Message, run_id: str) -> None:
        headers = await connection.fetchval(
            "select headers from baton where user_id = $1 and run_id = $2 and brought_by = $3 for update",
            message.user_id,
            run_id,
            message.msg_id,
        )
        if headers is not None:
            failure = Failure.of(FailureCode.INTERNAL)
            terminal = RunFailed(user_id=message.user_id, run_id=run_id, stage=self.dead.stage, failure=failure)
            await end_run(connection, self.outbound, terminal, cause_of(message), headers)

    async def _recover(self, claimed: Claimed, message: Message, problem: Exception, *, go_on: bool) -> Next:
        match problem:
            case TooNew():
                log.warning("message_too_new", type=message.type)
                return await self._wait(claimed, message, self.limits.backoff_max)
            case Misconfigured():
                delay = self.pause.start(problem, claimed.lane)
                _mark(problem.code)
                log.error("stage_paused", code=problem.code.value, detail=problem.detail, seconds=delay.total_seconds())
                waits = await self._wait(claimed, message, delay)
                await self.stalling.tell(problem.code)
                return waits
            case Unprocessable():
                return await self._bury(claimed, message, problem.code, problem.detail, go_on=go_on)
            case Retryable() if not problem.counts:
                return await self._wait(claimed, message, problem.after or self.limits.backoff)
            case Retryable() if problem.code in AWAY:
                return await self._hold(claimed, message, problem, go_on=go_on)
            case Retryable():
                pass
            case _:
                log.error("handler_failed", type=message.type, exc_info=problem)
        return await self._retry(claimed, message, problem, go_on=go_on)

    async def _call(self, claimed: Claimed, message: Message) -> Sequence[Outcome]:
        route, event = self.calls.read(message)
        turn = Working(self.pool, self.outbound, self.signals, claimed, message, brings=route.brings is not None)
        return await self.calls.call(route, event, turn)

    async def _finish(self, claimed: Claimed, message: Message, outcomes: Sequence[Outcome], *, go_on: bool) -> Next:
        cause = cause_of(message)
        if (prepared := self.outbound.prepare(cause, outcomes)) is not None:
            left, here = await self.finisher.finish(claimed, message, prepared, go_on=go_on)
        else:
            async with transaction(self.pool) as connection:
                left = await lanes.finish(connection, claimed, message, go_on=go_on)
                here = await self.outbound.apply(connection, cause, outcomes)
        if not here:
            log.info("run_events_dropped", type=message.type)
        if self.pause.got_through(claimed.lane):
            log.info("stage_resumed")
        for code in self.circuits.handled(message, claimed.lane, proven=bool(outcomes)):
            log.info("stage_resumed", code=code.value)
        if outcomes:
            self.signals.stored()
        if isinstance(left, Message):
            return left
        return timedelta(0) if left else None

    async def _bury(self, claimed: Claimed, message: Message, code: FailureCode, detail: str, *, go_on: bool) -> Next:
        _mark(code)
        await self.dead.bury(claimed, message, code, detail)
        return await self._take(claimed) if go_on else timedelta(0)

    async def _retry(self, claimed: Claimed, message: Message, problem: BaseException, *, go_on: bool) -> Next:
        """Counts an attempt. A failure of the database itself fails here again, and that ends the process."""
        code = problem.code if isinstance(problem, Retryable) else FailureCode.INTERNAL
        asked = problem.after if isinstance(problem, Retryable) else None
        detail = "" if isinstance(problem, Retryable) else type(problem).__name__
        if message.attempts + 1 >= self.limits.attempts:
            return await self._bury(claimed, message, code, detail, go_on=go_on)
        delay = max(asked or timedelta(0), delay_after(message.msg_id, message.attempts, self.limits))
        _mark(code)
        log.warning(
            "message_retried",
            type=message.type,
            code=code.value,
            attempt=message.attempts + 1,
            seconds=delay.total_seconds(),
        )
        async with transaction(self.pool) as connection:
            await lanes.lock(connection, claimed)
            await lanes.fail(connection, message, self.dead.error(code, detail))
        return delay

    async def _hold(self, claimed: Claimed, message: Message, problem: Retryable, *, go_on: bool) -> Next:
        """Of a dependency that is away: an attempt counts only where the dependency works for others."""
        setback = self.circuits.failed(problem.code, message, claimed.lane, problem.after)
        if setback.counts:
            return await self._retry(claimed, message, problem, go_on=go_on)
        _mark(problem.code)
        seconds, code = setback.delay.total_seconds(), problem.code.value
        if setback.opened or setback.lasts:
            log.error("stage_paused", code=code, detail="does not answer", type=message.type, seconds=seconds)
        else:
            log.warning("message_retried", type=message.type, code=code, attempt=message.attempts, seconds=seconds)
        waits = await self._wait(claimed, message, setback.delay)
        if setback.lasts:
            await self.stalling.tell(problem.code)
        return waits

    async def _wait(self, claimed: Claimed, message: Message, delay: timedelta) -> timedelta:
        """The lane waits without the message having used up an attempt or a claim."""
        async with transaction(self.pool) as connection:
            await lanes.lock(connection, claimed)
            await lanes.unclaim(connection, message)
        return delay


def _mark(code: FailureCode) -> None:
    """The span of the message shows why it did not go on."""
    trace.get_current_span().set_status(trace.Status(trace.StatusCode.ERROR, code.value))
