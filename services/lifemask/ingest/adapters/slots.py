"""Rows of announced files, inside the transaction of the row writer."""

from lifemask.bus.rows import Connection
from lifemask.ingest.domain.rows import NewSlots, RunFull, SlotDone


async def open_slots(connection: Connection, row: NewSlots) -> None:
    """Call with the run's row locked. Raises RunFull when photos and files to come would be too many."""
    taken = await connection.fetchval(
        """select (select count(*) from photo where user_id = $1 and run_id = $2 and removed_at is null)
                + (select count(*) from slot where user_id = $1 and run_id = $2
                   and done_at is null and expires_at > now())""",
        row.user_id,
        row.run_id,
    )
    if taken + len(row.slots) > row.limit:
        raise RunFull
    await connection.executemany(
        """insert into slot (user_id, run_id, photo_id, sha256, bytes, media_type, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing""",
        [
            (row.user_id, row.run_id, slot.photo_id, slot.sha256, slot.bytes, slot.media_type, row.expires_at)
            for slot in row.slots
        ],
    )


async def close_slot(connection: Connection, row: SlotDone) -> None:
    """The file was taken over."""
    await connection.execute(
        "update slot set done_at = now() where user_id = $1 and run_id = $2 and photo_id = $3",
        row.user_id,
        row.run_id,
        row.photo_id,
    )
