"""The turn of one message in its lane: what a handler may ask of the bus while it works."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lifemask.bus import lanes
from lifemask.bus.lanes import Claimed, Message
from lifemask.bus.outbound import Cause, Outbound
from lifemask.bus.outcomes import Keep, Later
from lifemask.bus.rows import Connection, Pool, transaction
from lifemask.bus.signals import Signals


class RunOver(Exception):
    """The run ended while the handler was at work: its message is done, its run events are dropped."""


@dataclass
class Working:
    """Implements `lifemask.bus.outcomes.Turn` on the lane's rows."""

    pool: Pool
    outbound: Outbound
    signals: Signals
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
        async with transaction(self.pool) as connection:
            await self._hold(connection)

    async def brought(self) -> bool:
        async with transaction(self.pool) as connection:
            found = await connection.fetchval(
                "select 1 from baton where user_id = $1 and run_id = $2 and brought_by = $3",
                self.message.user_id,
                self.message.run_id,
                self.message.msg_id,
            )
        return bool(found)

    async def commit(self, *outcomes: Later | Keep) -> None:
        self.commits += 1
        await self._commit(f"commit-{self.commits}", outcomes)
        self.signals.reminders.set()

    async def _commit(self, label: str, outcomes: Sequence[Later | Keep]) -> None:
        async with transaction(self.pool) as connection:
            await self._hold(connection)
            await self.outbound.store(connection, cause_of(self.message), label, outcomes)

    async def _hold(self, connection: Connection) -> None:
        await lanes.lock(connection, self.claimed)
        if self.message.run_id is None:
            return
        over = await connection.fetchval(
            "select passed_at is not null or cancel_requested_at is not null from baton "
            "where user_id = $1 and run_id = $2 for update",
            self.message.user_id,
            self.message.run_id,
        )
        if over or (over is None and self.brings):
            raise RunOver


def cause_of(message: Message) -> Cause:
    """What a message's outcomes derive their ids from."""
    return Cause(message.user_id, message.run_id, message.msg_id, message.replays)
