"""Idempotency keys: which request each named first."""

from typing import Final

from lifemask.bus.rows import Connection
from lifemask.ingest.domain.rows import KeyTaken, NewRun

_KEPT: Final = "8 days"
"""Keys are promised for 7."""


async def known_key(connection: Connection, user_id: str, key: str) -> KeyTaken | None:
    record = await connection.fetchrow(
        "select run_id, digest from idempotency where user_id = $1 and key = $2", user_id, key
    )
    return KeyTaken(record["run_id"], record["digest"]) if record else None


async def keep_key(connection: Connection, row: NewRun, key: str) -> None:
    """Two calls at once: the second waits here for the first's commit."""
    kept = await connection.fetchval(
        """insert into idempotency (user_id, key, run_id, digest) values ($1, $2, $3, $4)
           on conflict (user_id, key) do nothing returning 1""",
        row.user_id,
        key,
        row.run_id,
        row.digest,
    )
    if kept is None and (taken := await known_key(connection, row.user_id, key)) is not None:
        raise taken
    await connection.execute(
        f"delete from idempotency where user_id = $1 and created_at < now() - interval '{_KEPT}'",  # noqa: S608 # a constant of this module
        row.user_id,
    )
