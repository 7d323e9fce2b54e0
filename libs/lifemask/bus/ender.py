"""The one hand that ends runs: batons that are here, not passed on, and asked to end or past their deadline.

No pause stops it. It locks batons only, never a lane.
"""

from dataclasses import dataclass

import structlog
from opentelemetry import trace

from lifemask.bus.inbound import header
from lifemask.bus.outbound import Cause, Outbound
from lifemask.bus.rows import DATABASE_AWAY, Connection, Pool, transaction
from lifemask.bus.signals import Signals
from lifemask.contracts import Failure, FailureCode, RunCanceled, RunFailed, Stage
from lifemask.runtime.logs import hashed
from lifemask.runtime.telemetry import parent_of

log = structlog.get_logger()

_DUE = """
    taken_at is not null and passed_at is null and (cancel_requested_at is not null or deadline_at <= now())
"""


@dataclass(frozen=True, slots=True)
class Ender:
    """Ends runs of one service."""

    pool: Pool
    outbound: Outbound
    stage: Stage
    signals: Signals
    poll: float

    async def run(self) -> None:
        """Ends what is due, for ever. A run that cannot be ended, for a fault in our code, keeps no other from it."""
        while True:
            self.signals.batons.clear()
            async with self.pool.acquire() as connection:
                due = await connection.fetch(f"select user_id, run_id from baton where {_DUE}")  # noqa: S608  a constant
            for record in due:
                await self._try(record["user_id"], record["run_id"])
            await self.signals.wait(self.signals.batons, self.poll)

    async def _try(self, user_id: str, run_id: str) -> None:
        try:
            await self.end(user_id, run_id)
        except (*DATABASE_AWAY, OSError):
            raise
        except Exception:
            log.exception("run_not_ended", run=run_id, user=hashed(user_id))

    async def end(self, user_id: str, run_id: str) -> None:
        """Ends one run if it is still due, in one transaction."""
        async with transaction(self.pool) as connection:
            baton = await connection.fetchrow(
                f"""select headers, cancel_requested_at is not null as canceled from baton
                    where user_id = $1 and run_id = $2 and {_DUE} for update""",  # noqa: S608  a constant
                user_id,
                run_id,
            )
            if baton is None:
                return
            terminal = self._terminal(user_id, run_id, canceled=baton["canceled"])
            cause = Cause(user_id, run_id, f"end/{run_id}")
            await end_run(connection, self.outbound, terminal, cause, baton["headers"], ender=True)
        log.info("run_ended", run=run_id, user=hashed(user_id), type=terminal.ce_type)
        self.signals.stored()

    def _terminal(self, user_id: str, run_id: str, *, canceled: bool) -> RunCanceled | RunFailed:
        if canceled:
            return RunCanceled(user_id=user_id, run_id=run_id, stage=self.stage, reason="requested")
        failure = Failure.of(FailureCode.DEADLINE, stage=self.stage.value)
        return RunFailed(user_id=user_id, run_id=run_id, stage=self.stage, failure=failure)


async def end_run(
    connection: Connection,
    outbound: Outbound,
    terminal: RunCanceled | RunFailed,
    cause: Cause,
    headers: str,
    *,
    ender: bool = False,
) -> bool:
    """Passes the baton, stores what the end leaves to do, and says so, in a span after the message that brought it.

    `headers` are the baton's. Returns whether the run was here; else nothing is stored.
    """
    context, links = parent_of(terminal.run_id, header(headers, "traceparent"))
    with trace.get_tracer("lifemask.bus").start_as_current_span(
        f"{outbound.service} end",
        context,
        links=links,
        record_exception=False,  # an exception's text may quote a row
        set_status_on_exception=False,
    ):
        after = await outbound.pass_baton(connection, terminal, ender=ender)
        if after is None:
            return False
        await outbound.store(connection, cause, "end", after)
        await outbound.publish(connection, [(cause.id(outbound.service, terminal.ce_type, "end"), terminal)])
    return True
