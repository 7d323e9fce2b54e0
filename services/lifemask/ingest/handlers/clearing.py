"""What was temporary goes: at once, or a day after the run's end."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from lifemask.bus.outcomes import Keep, Later, Outcome, Turn
from lifemask.ingest.domain.rows import Disposed
from lifemask.ingest.ports import Cleared, Disposal, Leftovers, Runs
from lifemask.ingest.reminders import ClearIncoming, ClearOriginals, ClearWork

ASK_AGAIN: Final = timedelta(hours=1)
"""When the store refuses a deletion: an operator needs time to mend the permission."""

WAIT_FOR_COPY: Final = timedelta(minutes=1)
"""A hundred originals are copied in less, unless the store is away."""


async def clear_work(reminder: ClearWork, *, leftovers: Leftovers, turn: Turn) -> Sequence[Outcome]:
    """What only the pipeline needed goes at once."""
    why = _why(reminder, turn)
    return _recorded(reminder, why, await leftovers.clear_work(why))


async def clear_originals(
    reminder: ClearOriginals, *, runs: Runs, leftovers: Leftovers, turn: Turn
) -> Sequence[Outcome]:
    """Originals go, and with them anything temporary that a late worker left behind.

    They wait for a run that is made from them; none can begin any more when they go.
    """
    if await runs.is_copied(reminder.user_id, reminder.run_id):
        return [Later(reminder, WAIT_FOR_COPY)]
    why = _why(reminder, turn)
    return _recorded(reminder, why, await leftovers.clear_originals(why))


async def clear_incoming(reminder: ClearIncoming, *, runs: Runs, leftovers: Leftovers, turn: Turn) -> Sequence[Outcome]:
    """What the app put into the incoming prefix for this run goes; an event that owns no upload deletes nothing."""
    run = await runs.run(reminder.user_id, reminder.run_id)
    if run is None or run.incoming is None:
        return []
    why = _why(reminder, turn)
    return _recorded(reminder, why, await leftovers.clear_incoming(why, run.incoming))


def _why(reminder: ClearWork | ClearOriginals | ClearIncoming, turn: Turn) -> Disposal:
    at = reminder.since or turn.got_at
    return Disposal(reminder.user_id, reminder.run_id, reminder.reason, reminder.statement, at)


def _recorded(
    reminder: ClearWork | ClearOriginals | ClearIncoming, why: Disposal, cleared: Sequence[Cleared]
) -> Sequence[Outcome]:
    """A refused deletion is recorded and asked again; it must not stop the view of everybody."""
    rows: list[Outcome] = [
        Keep(
            Disposed(
                reminder.user_id,
                reminder.run_id,
                group.what,
                group.objects,
                group.bytes,
                "denied" if group.denied else "deleted",
            )
        )
        for group in cleared
        if group.objects or group.denied
    ]
    again = reminder.model_copy(update={"since": why.at})
    return [*rows, Later(again, ASK_AGAIN)] if any(group.denied for group in cleared) else rows
