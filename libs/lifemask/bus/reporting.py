"""Tells the operator of refused records: one event for all of them, and the next one only after a while."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from lifemask.bus.checking import note_version
from lifemask.bus.guarding import MORE
from lifemask.bus.inbound import identity
from lifemask.bus.outbound import Outbound
from lifemask.bus.rows import Connection, Pool, transaction
from lifemask.bus.signals import Signals
from lifemask.contracts import OPERATOR, Refused, SecurityReported, split_version
from lifemask.keys.files import Keys

_LINES: Final = 50
"""Kinds of refusals in one report; the rest is one line."""
_POLL: Final = 2.0
"""Seconds between two looks."""


class KeyChanged(Exception):
    """The service has a new key, which takes a new process: the old one may be in other hands."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Reports the table `security` of one service, the first entry at once, then at most once in `window`."""

    pool: Pool
    outbound: Outbound
    signals: Signals
    window: timedelta
    keys: Keys

    async def run(self) -> None:
        """Reports until cancelled, and notes each keyring that comes into use. Raises KeyChanged after a rotation."""
        noted = 0
        while True:
            await self.step()
            if self.keys.changed():
                raise KeyChanged("this service was given a new key: it starts again to sign with it")
            if (ring := self.keys.trust.keyring).version != noted:
                async with self.pool.acquire() as connection:
                    await note_version(connection, ring)
                noted = ring.version
            await asyncio.sleep(min(_POLL, self.window.total_seconds()))

    async def step(self) -> bool:
        """One look; whether something was reported."""
        async with transaction(self.pool) as connection:
            if not await self._is_due(connection):
                return False
            rows = await connection.fetch(_TAKE, MORE + "%")
            name = identity(self.outbound.service, f"security {max(row['id'] for row in rows)}")
            counts: dict[tuple[str, str], int] = {}
            for row in sorted(rows, key=lambda row: -row["times"]):
                kind = (row["reason"], split_version(row["type"])[0])
                if kind not in counts and len(counts) >= _LINES:
                    kind = ("other", "other")
                counts[kind] = counts.get(kind, 0) + row["times"]
            report = SecurityReported(
                user_id=OPERATOR,
                service=self.outbound.service,
                since=min(row["at"] for row in rows),
                refused=tuple(Refused(reason=reason, type=kind, count=n) for (reason, kind), n in counts.items()),
            )
            await self.outbound.publish(connection, [(name, report)])
        self.signals.outbox.set()
        return True

    async def _is_due(self, connection: Connection) -> bool:
        """Whether there is something new, and nobody reported within the window. Only one process looks at a time."""
        return bool(
            await connection.fetchval(
                """select exists (select from security where reported_at is null)
                      and pg_try_advisory_xact_lock(hashtext('security ' || current_schema()))
                      and not exists (select from security where reported_at > now() - $1::interval)""",
                self.window,
            )
        )


_TAKE = """
update security set reported_at = now(), msg_id = case when msg_id like $1 then msg_id || '/' || id else msg_id end
where reported_at is null returning id, at, reason, type, times
"""
