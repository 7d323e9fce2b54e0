"""Writing orders down for a service, as a command of an operator does; `orders.py` tells how they are carried out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lifemask.bus.letters import Letter
from lifemask.bus.roles import schema_of
from lifemask.bus.rows import Connection


class Act(StrEnum):
    """What can be ordered."""

    REPLAY = "replay"
    DISCARD = "discard"
    TELL = "tell"


class Done(StrEnum):
    """What became of an order."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"
    RUN_FAILED = "run_failed"
    """Discarded, and its run ended."""
    TOLD = "told"
    TOO_LATE = "too_late"
    """The letter was replayed or discarded meanwhile, or its run is over."""
    FAILED = "failed"
    """A fault of ours; the log has it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A message for a handler of `service`, delivered in its user's lane like a reminder; `type` is its `ce_type`."""

    service: str
    type: str
    user_id: str
    run_id: str
    body: Mapping[str, Any]


async def order(connection: Connection, letter: Letter, act: Act, by: str) -> str:
    """Writes down what shall become of a dead letter; returns the order's id.

    The same again is the same order, until the letter died again.
    """
    await _at(connection, letter.service)
    name = f"{act}/{letter.msg_id}/{letter.replays}"
    await connection.execute(
        """insert into operator_order (id, act, msg_id, replays, user_id, run_id, ordered_by)
           values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing""",
        name,
        act,
        letter.msg_id,
        letter.replays,
        letter.user_id,
        letter.run_id,
        by,
    )
    return name


async def tell(connection: Connection, told: Told, name: str, by: str) -> None:
    """Writes down a message to a service; `name` is the order's id and the message's."""
    await _at(connection, told.service)
    body = {"user_id": told.user_id, "run_id": told.run_id, **told.body}
    await connection.execute(
        """insert into operator_order (id, act, msg_id, user_id, run_id, type, value, ordered_by)
           values ($1, 'tell', $1, $2, $3, $4, $5, $6) on conflict (id) do nothing""",
        name,
        told.user_id,
        told.run_id,
        told.type,
        json.dumps(body).encode(),
        by,
    )


async def outcomes(connection: Connection, service: str, names: Sequence[str]) -> dict[str, str]:
    """What became of these orders, as far as they are carried out: a `Done`, or what a handler answered."""
    await _at(connection, service)
    rows = await connection.fetch(
        "select id, outcome from operator_order where id = any($1) and done_at is not null", list(names)
    )
    return {row["id"]: row["outcome"] for row in rows}


async def is_handled(connection: Connection, service: str, name: str) -> bool | None:
    """Whether the told message `name` is done; None when it became a dead letter."""
    await _at(connection, service)
    row = await connection.fetchrow("select done_at, dead_at from inbox where msg_id = $1", name)
    if row is None:
        return False
    return True if row["done_at"] else None if row["dead_at"] else False


async def _at(connection: Connection, service: str) -> None:
    await connection.execute(f"set search_path to {schema_of(service)}")
