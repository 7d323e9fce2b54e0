"""A run that fails because its custody is broken leaves evidence: a signed refusal, and its statements in quarantine.

Part of the wiring, so that no handler can forget it: the handlers of a service are wrapped, and whichever returns such
a RunFailed has it recorded before the failure is stored. Done again, it changes nothing.
"""

import functools
import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from lifemask.bus.outcomes import Handler, Outcome, Route, Turn
from lifemask.contracts import FailureCode, RunFailed
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.chain import Chain
from lifemask.custody.steps import REFUSAL, STEPS, RefusalFields, attempts
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectExists, ObjectMissing, ObjectStore, ObjectTooLarge

_LIMIT = 4 << 20
"""Bytes of a statement that is kept; ours have under 2 KiB."""
_REFUSED = frozenset({FailureCode.CUSTODY_BROKEN, FailureCode.PUBLICATION_DIFFERS})
"""Bytes or statements were not what was sealed: before they were used, or after they were published."""
_log = structlog.get_logger(__name__)


class Refusals:
    """Records refused runs. Errors of the store pass through: the message is handled again."""

    def __init__(self, objects: ObjectStore, chain: Chain) -> None:
        self._objects = objects
        self._chain = chain

    async def record(self, failed: RunFailed, at: datetime, *, statement: str | None = None, attempt: int = 1) -> None:
        """Signs the refusal and copies the run's statements. `statement` is the digest that the run came with."""
        user_id, run_id = failed.user_id, failed.run_id
        _log.error("run_refused", run=run_id, stage=failed.stage, reason=failed.failure.what)
        refusal = keys.act(user_id, run_id, REFUSAL.name, failed.stage, at)
        with suppress(CustodyBroken):  # a file that is not ours lies there: the run fails all the same
            await self._chain.record(
                REFUSAL,
                user_id,
                run_id,
                failed.stage,
                fields=RefusalFields(actor=self._chain.actor, reason=failed.failure.what),
                at=at,
                previous=statement,
                attempt=attempt,
            )
        for number in range(1, attempt + 1):
            for step in STEPS:
                if attempts(step, number) == number:
                    await self._keep(user_id, run_id, keys.statement(user_id, run_id, step.position, step.name, number))
        await self._keep(user_id, run_id, refusal)

    async def _keep(self, user_id: str, run_id: str, key: Key) -> None:
        with suppress(ObjectMissing, ObjectTooLarge, ObjectExists):
            data = await self._objects.get(key, limit=_LIMIT)
            await self._objects.put(keys.quarantined(user_id, run_id, key), data, create_only=True)


def refusing(routes: Sequence[Route], refusals: Refusals) -> tuple[Route, ...]:
    """The same table, with every RunFailed for broken custody recorded before it takes effect."""
    return tuple(replace(route, handler=_recording(route.handler, refusals)) for route in routes)


def is_refusal(outcome: Outcome) -> bool:
    """Whether an outcome ends a run because its custody is broken."""
    return isinstance(outcome, RunFailed) and outcome.failure.code in _REFUSED


def _recording(handler: Handler, refusals: Refusals) -> Handler:
    signature = inspect.signature(handler)
    wants_turn = "turn" in signature.parameters

    @functools.wraps(handler)
    async def recorded(message: Any, *, turn: Turn, **ports: Any) -> Sequence[Outcome]:
        outcomes = await handler(message, **(ports | {"turn": turn} if wants_turn else ports))
        for outcome in outcomes:
            if isinstance(outcome, RunFailed) and is_refusal(outcome):
                await refusals.record(
                    outcome,
                    turn.got_at,
                    statement=getattr(message, "statement", None),
                    attempt=getattr(message, "attempt", 1),
                )
        return outcomes

    if not wants_turn:
        turn_too = inspect.Parameter("turn", inspect.Parameter.KEYWORD_ONLY)
        signature = signature.replace(parameters=[*signature.parameters.values(), turn_too])
    recorded.__signature__ = signature  # type: ignore[attr-defined] # the bus asks the signature which ports to give
    return recorded
