"""Due reminders move into their lanes; old rows go."""

import asyncio
from dataclasses import dataclass

from lifemask.bus import lanes
from lifemask.bus.rows import Pool, transaction
from lifemask.bus.signals import Signals

_BATCH = 200
"""Reminders moved by one statement."""
_CLEANING_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Timer:
    """Moves reminders of one service into its inbox when they are due: waiting needs no loop of its own."""

    pool: Pool
    signals: Signals
    poll: float

    async def run(self) -> None:
        """Looks for due reminders, for ever."""
        while True:
            self.signals.reminders.clear()
            if await self.step():
                self.signals.lanes.set()
            else:
                await self.signals.wait(self.signals.reminders, self.poll)

    async def step(self) -> int:
        """Moves what is due now; returns how many."""
        async with transaction(self.pool) as connection:
            return await lanes.promote(connection, _BATCH)


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Deletes events that were sent, messages that are done and refused records that were reported, after their
    retention (days; 0 keeps them for ever).

    Batons are never deleted here: they are what keeps an old message from starting a run again.
    """

    pool: Pool
    inbox_days: int
    outbox_days: int
    security_days: int

    async def run(self) -> None:
        """Cleans now and every ten minutes."""
        while True:
            await self.step()
            await asyncio.sleep(_CLEANING_SECONDS)

    async def step(self) -> None:
        """Deletes what is past its retention."""
        old = (("inbox", "done_at", self.inbox_days), ("outbox", "sent_at", self.outbox_days))
        async with self.pool.acquire() as connection:
            for table, at, days in (*old, ("security", "reported_at", self.security_days)):
                if days:
                    query = f"delete from {table} where {at} < now() - make_interval(days => $1)"  # noqa: S608 - ours
                    await connection.execute(query, days)
