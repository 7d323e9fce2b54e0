"""Dead letters as an operator sees them, and what replaying or discarding one would do. Changes nothing.

Reads with the account that migrates, in the schema of each service: a service's own role sees its own letters only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lifemask.bus.inbound import UNREADABLE, headers_bytes
from lifemask.bus.roles import schema_of
from lifemask.bus.rows import Connection


class Here(StrEnum):
    """What the run of a letter is to the service that keeps it."""

    NONE = "none"
    """No run of this service: the letter speaks of none, or of one that is elsewhere."""
    BROUGHT = "brought"
    """The run is here, and this letter brought it: it waits for the letter."""
    HELD = "held"
    """The run is here; another message brought it."""
    ENDING = "ending"
    """Somebody asked for the run's end: the service is about to say it."""
    OVER = "over"
    """The run ended here or went on."""
    OVER_BROUGHT = "over_brought"
    """Likewise, and this letter brought it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: the message as it came, and the errors of its attempts, oldest first."""

    service: str
    seq: int
    msg_id: str
    lane: str
    user_id: str | None
    run_id: str | None
    type: str
    topic: str
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]
    attempts: int
    replays: int
    errors: Sequence[Mapping[str, Any]]
    got_at: datetime
    dead_at: datetime
    here: Here

    @property
    def id(self) -> str:
        """How commands name it."""
        return f"{self.service}/{self.seq}"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an act would do; `refused` when it cannot be done."""

    says: str
    refused: bool = False


def on_replay(letter: Letter) -> Effect:
    """What replaying the letter does."""
    if letter.lane == UNREADABLE:
        return Effect("nobody can read it, now or later: it can only be discarded", refused=True)
    match letter.here:
        case Here.OVER_BROUGHT:
            return Effect("its run is over here or went on: there is nothing to replay, discard it", refused=True)
        case Here.ENDING:
            return Effect("its run is about to end: there is nothing to replay, discard it", refused=True)
        case Here.BROUGHT | Here.HELD:
            return Effect("handled again, next in its user's lane; the run's deadline starts anew")
        case Here.OVER:
            return Effect("handled again, next in its user's lane; its run is over here, so it says nothing of it")
        case Here.NONE:
            return Effect("handled again, next in its user's lane")


def on_discard(letter: Letter) -> Effect:
    """What discarding the letter does."""
    if letter.here is Here.BROUGHT:
        return Effect("never handled again; its run ends as failed, and its user is told")
    return Effect("never handled again; no run is touched")


async def dead_letters(connection: Connection, service: str, seq: int | None = None) -> list[Letter]:
    """The service's dead letters, oldest first; with `seq` that one only. Leaves the search path at its schema."""
    await connection.execute(f"set search_path to {schema_of(service)}")
    return [_letter(service, dict(row)) for row in await connection.fetch(_LETTERS, seq)]


_LETTERS = """
select i.seq, i.msg_id, i.lane, i.user_id, i.run_id, i.type, i.topic, i.value, i.headers, i.attempts, i.replays,
       i.error, i.got_at, i.dead_at, b.brought_by, b.taken_at, b.passed_at, b.cancel_requested_at
from inbox i left join baton b on b.user_id = i.user_id and b.run_id = i.run_id
where i.dead_at is not null and i.done_at is null and ($1::bigint is null or i.seq = $1) order by i.seq
"""


def _letter(service: str, row: dict[str, Any]) -> Letter:
    here = here_of(row)
    for name in ("brought_by", "taken_at", "passed_at", "cancel_requested_at"):
        row.pop(name)
    errors = json.loads(row.pop("error") or "[]")
    return Letter(
        **row | {"service": service, "headers": headers_bytes(row["headers"]), "errors": errors, "here": here}
    )


def here_of(row: Mapping[str, Any]) -> Here:
    """What the baton's columns, beside the message's `msg_id`, say of the run."""
    if row["taken_at"] is None:
        return Here.NONE
    brought = row["brought_by"] == row["msg_id"]
    if row["passed_at"] is not None:
        return Here.OVER_BROUGHT if brought else Here.OVER
    if row["cancel_requested_at"] is not None:
        return Here.ENDING
    return Here.BROUGHT if brought else Here.HELD
