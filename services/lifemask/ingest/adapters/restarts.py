"""A run that is made from the originals of an earlier one, written."""

from lifemask.bus.rows import Connection
from lifemask.ingest.domain.rows import AlreadyRestarted, OriginalsGone, Restarted
from lifemask.ingest.domain.runs import Run


async def insert_restarted(connection: Connection, earlier: Run, row: Restarted) -> None:
    """The new run, the mark on the earlier one, whose row is locked, and the photos that are still to come.

    Raises AlreadyRestarted, OriginalsGone.
    """
    if earlier.restarted_as is not None:
        raise AlreadyRestarted(earlier.restarted_as)
    await _require_originals(connection, earlier, row)
    await connection.execute(
        """insert into run (user_id, run_id, request, restarted_from, submits)
           select user_id, $3, request, run_id, $4 from run where user_id = $1 and run_id = $2""",
        row.user_id,
        earlier.id,
        row.run_id,
        row.submits,
    )
    await connection.execute(
        "update run set restarted_as = $3 where user_id = $1 and run_id = $2", row.user_id, earlier.id, row.run_id
    )
    await connection.execute(
        """insert into photo (user_id, run_id, photo_id, sha256, bytes, media_type, door, here)
           select user_id, $3, new, sha256, bytes, media_type, 'restart', false
           from photo join unnest($4::text[], $5::text[]) as pair (old, new) on photo_id = old
           where user_id = $1 and run_id = $2 and removed_at is null order by place""",
        row.user_id,
        earlier.id,
        row.run_id,
        [old for old, _ in row.photos],
        [new for _, new in row.photos],
    )


async def _require_originals(connection: Connection, earlier: Run, row: Restarted) -> None:
    """By the database's clock after the lock, as the deletion is due by it: either this sees that the time is over,
    or the deletion sees this run.
    """
    if earlier.facts.end is None:
        raise OriginalsGone
    gone = await connection.fetchval(
        """select clock_timestamp() >= $3::timestamptz + $4::interval
               or exists (select from disposal where user_id = $1 and run_id = $2 and what = 'original')""",
        row.user_id,
        earlier.id,
        earlier.facts.end.at,
        row.kept,
    )
    if gone:
        raise OriginalsGone
