"""Safeguards taken away, in systems of the tests alone: the same chaos must then be caught by the checker.

LIFEMASK_TEST_WITHOUT names them. Which must go together, and why one alone changes nothing, is told in
docs/architecture/protocol.md: the baton, the fence and the inbox each hold what the others let through.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import uuid4

WITHOUT: Final = "LIFEMASK_TEST_WITHOUT"


def disarm_safeguards() -> None:
    """Patches this process, before its service runs."""
    for name in filter(None, os.environ.get(WITHOUT, "").split(",")):
        ARMS[name]()


def _module(name: str) -> Any:
    """A module to be changed: its types say that it must not be."""
    return importlib.import_module(name)


def without_intent() -> None:
    """The paid call is made before anything is stored about it."""
    attempt = _module("lifemask.trainer.domain.attempt")
    rows = _module("lifemask.trainer.adapters.postgres")
    working = _module("lifemask.bus.turn").Working
    commit = working.commit

    async def forgetful(self: Any, *outcomes: Any) -> None:
        if not any(isinstance(getattr(each, "row", None), attempt.Claim) for each in outcomes):
            await commit(self, *outcomes)

    working.commit = forgetful
    rows.sources = lambda _to: list(attempt.State)


def without_fence() -> None:
    """A worker past its lease goes on, and a claim is stored from whatever state."""
    attempt = _module("lifemask.trainer.domain.attempt")
    rows = _module("lifemask.trainer.adapters.postgres")
    working = _module("lifemask.bus.turn").Working
    worker = _module("lifemask.bus.worker").Worker

    async def hold(_self: Any, _connection: Any) -> None:
        """Whoever asks is believed."""

    async def keep_nothing(_self: Any) -> None:
        await _module("asyncio").Event().wait()

    working._hold = hold
    worker.keep_leases = keep_nothing  # it would stop the handler whose lane is lost
    rows.sources = lambda _to: list(attempt.State)


def without_inbox() -> None:
    """A record that comes again is another one, and what it leads to is said again.

    A stored row's identity is its sender's, so that the look at stored rows goes with it. What a run's event leads to
    is held by the baton and by unique rows as well: the audit, which compares identities, is what notices.
    """
    _module("lifemask.bus.stored").Stored.reason = lambda _self, _row: None
    intake = _module("lifemask.bus.intake").Intake
    store = intake.store

    async def forgetful(self: Any, records: Any) -> None:
        table = self.table
        read = type(table).read

        def anew(one: Any, record: Any) -> Any:
            row = read(one, record)
            return row and _module("dataclasses").replace(row, msg_id=uuid4().hex)

        type(table).read = anew
        try:
            await store(self, records)
        finally:
            type(table).read = read

    intake.store = forgetful


def without_baton() -> None:
    """Anybody may speak about a run, whether or not it is there, and whether or not it is over."""
    outbound = _module("lifemask.bus.outbound")
    ends = _module("lifemask.contracts").Baton.ENDS
    prepare, pass_baton = outbound.Outbound.prepare, outbound.Outbound.pass_baton

    async def passed(self: Any, connection: Any, event: Any, *, ender: bool = False) -> Any:
        found = await pass_baton(self, connection, event, ender=ender)
        if found is not None or ender:
            return found
        ended = outbound.RunEnded(event, event.user_id, event.run_id)
        return self.on_end(ended) if event.baton is ends else ()

    async def held(_connection: Any, _user: str, _run: str) -> bool:
        return True

    def one_by_one(self: Any, cause: Any, outcomes: Any) -> Any:
        found = prepare(self, cause, outcomes)
        return None if found is not None and found.passes is not None else found

    outbound.Outbound.pass_baton = passed
    outbound.Outbound.prepare = one_by_one
    outbound.lock_baton = held


def without_withdrawal() -> None:
    """A run that ends while it is published orders nothing to be taken back."""
    handlers = _module("lifemask.publisher.handlers")
    handlers.withdraw_unless_ready = lambda _ended: ()


ARMS: Final[Mapping[str, Callable[[], None]]] = {
    "intent": without_intent,
    "fence": without_fence,
    "inbox": without_inbox,
    "baton": without_baton,
    "withdrawal": without_withdrawal,
}
