"""Who is let in: a service's guard is asked for each record that it wants; what is refused touches no run.

A refused record leaves an entry in the table `security` and a line in the log, and nothing else: no inbox row, no
baton, no answer to whoever sent it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from lifemask.bus.inbound import Inbound, identity
from lifemask.bus.rows import Connection
from lifemask.runtime.logs import hashed

log = structlog.get_logger()

_KEPT_BYTES: Final = 64 * 1024
"""Of a refused record; whoever floods us shall not fill the disk with large ones."""

Guard = Callable[[Inbound], str | None]
"""None, or why the record is refused: a few fixed words, nothing of its content. Quick and without waiting."""


def let_in(_record: Inbound) -> str | None:
    """The guard of a service that refuses nobody."""
    return None


async def refuse(connection: Connection, refused: Sequence[tuple[Inbound, str]]) -> None:
    """Keeps the entries of refused records; one that comes again is kept once."""
    for row, reason in refused:
        small = len(row.value) <= _KEPT_BYTES
        await _keep(
            connection,
            identity(row.msg_id, row.value.hex()),
            reason,
            row.source,
            row.type,
            row.user_id,
            row.run_id,
            row.topic,
            row.value if small else None,
            row.headers if small else None,
        )


async def note(connection: Connection, user_id: str, run_id: str, *, kind: str, content: str, reason: str) -> None:
    """Keeps an entry of a message that was let in but must not have its effect. `content`: a digest of its body."""
    name = identity(f"{user_id}/{run_id}", content)
    await _keep(connection, name, reason, None, kind, user_id, run_id, None, None, None)


async def _keep(connection: Connection, name: str, reason: str, *columns: str | bytes | None) -> None:
    new = await connection.fetchval(
        """insert into security (msg_id, reason, source, type, user_id, run_id, topic, value, headers)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (msg_id) do nothing returning id""",
        name,
        reason,
        *columns,
    )
    if new is not None:
        _, kind, user, run, *_ = columns
        log.warning("security", entry=new, reason=reason, type=kind, user=hashed(str(user or "")), run=run)
