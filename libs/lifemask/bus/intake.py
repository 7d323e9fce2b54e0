"""Intake: batches of raw records are stored in the inbox, then acknowledged. Nothing slow happens here."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from datetime import timedelta
from typing import Final

from lifemask.bus import lanes
from lifemask.bus.checking import Check, known, may_be_old
from lifemask.bus.dead import DeadLetters
from lifemask.bus.guarding import Guard, Refusals, let_in
from lifemask.bus.inbound import TWICE, Inbound, Raw, Table, identity, named_twice
from lifemask.bus.rows import Connection, Pool, transaction
from lifemask.bus.signals import Signals

_UNDECODABLE: Final = "undecodable"
"""Reason of an entry whose topic is the places in the log that were passed over."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Stores records for one service; `deadline` is how long a run brought by one of them may stay here."""

    pool: Pool
    table: Table
    dead: DeadLetters
    signals: Signals
    deadline: timedelta | None
    check: Check
    refusals: Refusals
    guard: Guard = let_in

    async def store(self, records: Sequence[Raw]) -> None:
        """Stores a batch in one transaction. Raises what the database raises; then nothing is stored."""
        rows = [row for record in records if (row := self.table.read(record)) is not None]
        if not rows:
            return
        async with transaction(self.pool) as connection:
            believed, refused = await self._sort(connection, rows)
            fit = [row for row in believed if row.problem is None]
            unfit = [row for row in believed if row.problem is not None]
            new = await lanes.intake(connection, fit, self.deadline)
            if new < sum(row.wanted for row in fit):
                answered, unanswered = await self._used_twice(connection, fit)
                await lanes.intake(connection, answered, self.deadline)
                unfit += unanswered
            await self.dead.store(connection, unfit)
            await self.refusals.keep(connection, refused)
        self.signals.lanes.set()
        if unfit:
            self.signals.outbox.set()
        if any(row.cancels for row in fit):
            self.signals.batons.set()

    async def _sort(
        self, connection: Connection, rows: Sequence[Inbound]
    ) -> tuple[list[Inbound], list[tuple[Inbound, str]]]:
        """The records that are believed, and the others with the reason.

        A record whose key was taken away since it came first is neither: it is here already.
        """
        at = await connection.fetchval("select now()")
        believed: list[Inbound] = []
        refused: list[tuple[Inbound, str]] = []
        stale: list[tuple[Inbound, str]] = []
        for row in rows:
            if row.raw is not None and not row.raw.decodable:
                refused.append((row, _UNDECODABLE))
            elif (unwelcome := self.guard(row) if row.problem is None else None) is not None:
                refused.append((row, unwelcome))
            elif (reason := self.check.reason(row, at)) is None:
                believed.append(row)
            else:
                (stale if may_be_old(reason) else refused).append((row, reason.value))
        if stale:
            old = await known(connection, [row for row, _ in stale])
            refused += [(row, reason) for row, reason in stale if row.msg_id not in old]
        return believed, refused

    async def _used_twice(self, connection: Connection, rows: Sequence[Inbound]) -> tuple[list[Inbound], list[Inbound]]:
        """Records whose identity came before with other bytes: those that their service answers, and dead letters.

        Whoever brings a run waits for its end, so that it is told there what is wrong.
        """
        answered: list[Inbound] = []
        unanswered: list[Inbound] = []
        for row in await lanes.differing(connection, rows):
            named = with_changes(row, msg_id=identity(row.msg_id, row.value.hex()))
            if row.brings and self.table.routes[row.type].unfit is not None:
                answered.append(with_changes(named, headers=named_twice(row.headers)))
            else:
                unanswered.append(with_changes(named, problem=TWICE))
        return answered, unanswered
