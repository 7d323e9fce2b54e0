"""Dead letters: the message stays in the inbox, the topic gets a notice with its bytes, the run is told of a delay."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from lifemask.bus import lanes
from lifemask.bus.inbound import Inbound, identity
from lifemask.bus.lanes import Claimed, Message
from lifemask.bus.outbound import Cause, Outbound, lock_baton
from lifemask.bus.rows import Connection, Pool, transaction
from lifemask.bus.signals import Signals
from lifemask.contracts import CATALOGUE, Failure, FailureCode, RunStalled, Stage, Topic

log = structlog.get_logger()

_NOTICE_BYTES: Final = 512 * 1024
"""Largest message that travels with its notice: Kafka refuses a record over 1 MB, and the relay would stand still."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Writes dead letters of one service; the inbox row is the letter, the record in the topic only tells of it."""

    pool: Pool
    outbound: Outbound
    stage: Stage
    signals: Signals

    @staticmethod
    def error(code: FailureCode, detail: str) -> Mapping[str, str]:
        """One failed attempt as it is kept with the message; no payloads, no personal data."""
        category = CATALOGUE[code].category.value
        return {"at": datetime.now(UTC).isoformat(), "code": code.value, "category": category, "detail": detail[:500]}

    async def bury(self, claimed: Claimed, message: Message, code: FailureCode, detail: str) -> None:
        """Ends the work on a message. Raises Fenced when the lane is not ours any more.

        Speaks about the run only if the run is here and this is the message that brought it; if that run went on
        meanwhile, the message is simply done.
        """
        async with transaction(self.pool) as connection:
            if await self._went_on(connection, claimed, message):
                return
            await lanes.bury(connection, claimed, message, self.error(code, detail))
            await self._tell(connection, message, code)
            await self._notice(connection, message, code, detail)
        log.error("dead_letter", type=message.type, code=code.value, detail=detail[:500], message=message.msg_id)
        self.signals.stored()

    async def _went_on(self, connection: Connection, claimed: Claimed, message: Message) -> bool:
        await lanes.lock(connection, claimed)
        passed = await connection.fetchval(
            "select 1 from baton where user_id = $1 and run_id = $2 and brought_by = $3 and passed_at is not null",
            message.user_id,
            message.run_id,
            message.msg_id,
        )
        if passed:
            await lanes.finish(connection, claimed, message, go_on=False)
        return bool(passed)

    async def _tell(self, connection: Connection, message: Message, code: FailureCode) -> None:
        brought = message.run_id and await connection.fetchval(
            "select 1 from baton where user_id = $1 and run_id = $2 and brought_by = $3",
            message.user_id,
            message.run_id,
            message.msg_id,
        )
        if brought and message.run_id and await lock_baton(connection, message.user_id, message.run_id):
            stalled = RunStalled(
                user_id=message.user_id, run_id=message.run_id, stage=self.stage, failure=Failure.of(code)
            )
            cause = Cause(message.user_id, message.run_id, message.msg_id, message.replays)
            name = cause.id(self.outbound.service, stalled.ce_type, "dead")
            await self.outbound.publish(connection, [(name, stalled)])

    async def _notice(self, connection: Connection, message: Message | Inbound, code: FailureCode, detail: str) -> None:
        reason = {"lifemask-service": self.outbound.service, "lifemask-code": code.value, "lifemask-detail": detail}
        headers, value = json.loads(message.headers), message.value
        if len(value) + len(message.headers) > _NOTICE_BYTES:
            reason["lifemask-left-out"] = f"{len(value)} bytes and {len(headers)} headers: see the inbox"
            headers, value = [], b""
        await connection.execute(
            """insert into outbox (msg_id, topic, key, value, headers) values ($1, $2, $3, $4, $5)
               on conflict (msg_id) do nothing""",
            identity(f"dead-letters/{self.outbound.service}", f"{message.msg_id}/{getattr(message, 'replays', 0)}"),
            Topic.DEAD_LETTERS.named(self.outbound.prefix),
            message.user_id or "",
            value,
            json.dumps(headers + [[key, text[:500]] for key, text in reason.items() if text]),
        )

    async def store(self, connection: Connection, rows: list[Inbound]) -> None:
        """Stores records that no handler can ever take, dead from the start. Call inside the intake's transaction."""
        for row in sorted(rows, key=lambda row: row.msg_id):
            code, detail = FailureCode.MESSAGE_UNREADABLE, row.problem or ""
            new = await connection.fetchval(
                """insert into inbox (msg_id, lane, user_id, run_id, type, topic, value, headers, error, dead_at)
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now())
                   on conflict (msg_id) do nothing returning 1""",
                row.msg_id,
                row.lane,
                row.user_id,
                row.run_id,
                row.type,
                row.topic,
                row.value,
                row.headers,
                json.dumps([self.error(code, detail)]),
            )
            if new:
                await self._notice(connection, row, code, detail)
                log.error("dead_letter", type=row.type, code=code.value, detail=detail, message=row.msg_id)
