"""What pauses holds runs: each of them is told of the delay, once. Nobody is mailed about it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from lifemask.bus.inbound import CONTROL
from lifemask.bus.outbound import Cause, Outbound
from lifemask.bus.rows import Pool, transaction
from lifemask.bus.signals import Signals
from lifemask.contracts import Event, Failure, FailureCode, RunStalled, Stage

_AT_ONCE: Final = 500
"""Runs told in one transaction; the next failed probe tells the others."""


@dataclass(frozen=True, slots=True)
class Stalling:
    """Tells the runs of one service that they wait."""

    pool: Pool
    outbound: Outbound
    stage: Stage
    signals: Signals

    async def tell(self, code: FailureCode) -> int:
        """Tells every run that is held here and was not told of `code`; returns how many.

        Runs that somebody is at work on are left out: they may be about to go on.
        """
        async with transaction(self.pool) as connection:
            held = await connection.fetch(_HELD, _AT_ONCE, code.value)
            await connection.executemany(
                "update baton set stalled_by = $3 where user_id = $1 and run_id = $2",
                [(row["user_id"], row["run_id"], code.value) for row in held],
            )
            await self.outbound.publish(
                connection, [self._stalled(row["user_id"], row["run_id"], code) for row in held]
            )
        if held:
            self.signals.stored()
        return len(held)

    async def nothing_waits(self) -> bool:
        """Whether no lane has work that the pause holds up."""
        async with self.pool.acquire() as connection:
            found = await connection.fetchval(
                "select 1 from lane where todo > 0 and lane not like $1 limit 1", "%" + CONTROL
            )
        return not found

    async def none_waits(self, kinds: Collection[str]) -> bool:
        """Whether no message of these types is undone."""
        async with self.pool.acquire() as connection:
            found = await connection.fetchval(
                "select 1 from inbox where done_at is null and dead_at is null and type = any($1) limit 1", list(kinds)
            )
        return not found

    def _stalled(self, user_id: str, run_id: str, code: FailureCode) -> tuple[str, Event]:
        event = RunStalled(user_id=user_id, run_id=run_id, stage=self.stage, failure=Failure.of(code))
        return Cause(user_id, run_id, run_id).id(self.outbound.service, event.ce_type, f"paused {code.value}"), event


_HELD = """
select user_id, run_id from baton
where taken_at is not null and passed_at is null and cancel_requested_at is null and stalled_by is distinct from $2
order by user_id, run_id limit $1 for update skip locked
"""
