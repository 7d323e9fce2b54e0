"""Who is let in: a service's guard is asked for each record that it wants; what is refused touches no run.

A refused record leaves an entry in the table `security`, a line in the log and a count in a metric, and nothing else:
no inbox row, no baton, no answer to whoever sent it. `bus/reporting.py` tells the operator.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from opentelemetry import metrics

from lifemask.bus.inbound import Inbound, identity
from lifemask.bus.rows import Connection
from lifemask.contracts import split_version
from lifemask.runtime.logs import hashed

log = structlog.get_logger()

_REFUSED: Final = metrics.get_meter("lifemask.bus").create_counter(
    "lifemask.security.refused", unit="{record}", description="Records that were not let in, by reason and type"
)
_KEPT_BYTES: Final = 64 * 1024
"""Of a refused record; whoever floods us shall not fill the disk with large ones."""
_KEPT_SOURCE: Final = 200
"""Characters."""
MORE: Final = "more/"
"""How the name of an entry begins that only counts."""

Guard = Callable[[Inbound], str | None]
"""None, or why the record is refused: a few fixed words, nothing of its content. Quick and without waiting."""


def let_in(_record: Inbound) -> str | None:
    """The guard of a service that refuses nobody."""
    return None


@dataclass(frozen=True, slots=True)
class Refusals:
    """The entries of refused records: at most `limit` in `window` one by one, more are counted in one entry.

    One that comes again is kept once, as long as its entry stays (`LIFEMASK_SECURITY_RETENTION_DAYS`).
    """

    window: timedelta
    limit: int

    async def keep(self, connection: Connection, refused: Sequence[tuple[Inbound, str]]) -> None:
        """Stores the entries of a batch, in the intake's transaction."""
        if not refused:
            return
        here = await connection.fetchval("select count(*) from security where at > now() - $1::interval", self.window)
        room = max(self.limit - here, 0)
        for row, reason in refused[:room]:
            await _keep_record(connection, row, reason)
        more = Counter((reason, split_version(row.type)[0]) for row, reason in refused[room:])
        for (reason, kind), times in sorted(more.items()):
            await _keep_count(connection, reason, kind, times)
        for (reason, kind), times in Counter((reason, split_version(row.type)[0]) for row, reason in refused).items():
            _REFUSED.add(times, {"reason": reason, "type": kind})


async def _keep_record(connection: Connection, row: Inbound, reason: str) -> None:
    small = len(row.value) + len(row.headers) <= _KEPT_BYTES
    await _keep(
        connection,
        identity(row.msg_id, row.value.hex()),
        reason,
        row.source.replace("\0", "\ufffd")[:_KEPT_SOURCE],
        row.type,
        row.user_id,
        row.run_id,
        row.topic,
        row.value if small else None,
        row.headers if small else None,
    )


async def _keep_count(connection: Connection, reason: str, kind: str, times: int) -> None:
    await connection.execute(
        """insert into security (msg_id, reason, type, times) values ($1, $2, $3, $4)
           on conflict (msg_id) do update set times = security.times + excluded.times""",
        f"{MORE}{reason}/{kind}",
        reason,
        kind,
        times,
    )
    log.warning("security", reason=reason, type=kind, more=times)


async def note(
    connection: Connection, user_id: str, run_id: str | None, *, kind: str, content: str, reason: str
) -> None:
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
