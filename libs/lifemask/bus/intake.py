"""Intake: batches of raw records are stored in the inbox, then acknowledged. Nothing slow happens here."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from datetime import timedelta

from lifemask.bus import lanes
from lifemask.bus.dead import DeadLetters
from lifemask.bus.guarding import Guard, let_in, refuse
from lifemask.bus.inbound import Inbound, Raw, Table, identity
from lifemask.bus.rows import Connection, Pool, transaction
from lifemask.bus.signals import Signals


@dataclass(frozen=True, slots=True)
class Intake:
    """Stores records for one service; `deadline` is how long a run brought by one of them may stay here."""

    pool: Pool
    table: Table
    dead: DeadLetters
    signals: Signals
    deadline: timedelta | None
    guard: Guard = let_in

    async def store(self, records: Sequence[Raw]) -> None:
        """Stores a batch in one transaction. Raises what the database raises; then nothing is stored."""
        rows = [row for record in records if (row := self.table.read(record)) is not None]
        if not rows:
            return
        readable = [(row, self.guard(row)) for row in rows if row.problem is None]
        refused = [(row, reason) for row, reason in readable if reason is not None]
        fit = [row for row, reason in readable if reason is None]
        unfit = [row for row in rows if row.problem is not None]
        async with transaction(self.pool) as connection:
            new = await lanes.intake(connection, fit, self.deadline)
            if new < sum(row.wanted for row in fit):
                unfit += await _used_twice(connection, fit)
            await self.dead.store(connection, unfit)
            await refuse(connection, refused)
        self.signals.lanes.set()
        if unfit:
            self.signals.outbox.set()
        if any(row.cancels for row in fit):
            self.signals.batons.set()


async def _used_twice(connection: Connection, rows: Sequence[Inbound]) -> list[Inbound]:
    return [
        with_changes(
            row,
            msg_id=identity(row.msg_id, row.value.hex()),
            problem="the same identity came before with other bytes",
        )
        for row in await lanes.differing(connection, rows)
    ]
