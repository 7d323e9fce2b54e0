"""What lies in the incoming prefix and belongs to no run any more goes after a while: uploads never announced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.custody import Chain
from lifemask.custody.steps import DISPOSAL, DisposalFields, Gone
from lifemask.objects.keys import INCOMING
from lifemask.objects.keys import swept as swept_key
from lifemask.objects.port import ObjectInfo, ObjectStore

_LOG: Final = structlog.get_logger(__name__)
_EVERY: Final = 3600.0
"""Seconds between two looks."""
_AT_ONCE: Final = 1000
"""Objects of one statement; as many are held in memory."""


async def sweep(objects: ObjectStore, chain: Chain, before: datetime) -> int:
    """Deletes incoming objects that were last written before a time; returns how many. Raises what the store raises.

    Signed statements tell how many and when, not whose: they belong to no run, and outlive the people.
    """
    swept = 0
    old: list[ObjectInfo] = []
    async for info in objects.list(INCOMING):
        if info.modified_at < before:
            old.append(info)
        if len(old) == _AT_ONCE:
            swept += await _dispose(objects, chain, old)
            old = []
    return swept + (await _dispose(objects, chain, old) if old else 0)


async def _dispose(objects: ObjectStore, chain: Chain, old: list[ObjectInfo]) -> int:
    at = datetime.now(UTC)
    gone = Gone(what="incoming", objects=len(old), bytes=sum(info.bytes for info in old))
    fields = DisposalFields(actor=chain.actor, reason="expired", gone=(gone,))
    await chain.record_without_run(DISPOSAL, swept_key(at), fields=fields, at=at)
    for info in old:
        await objects.delete(info.key)
    return len(old)


@asynccontextmanager
async def sweeping(objects: ObjectStore, chain: Chain, kept: timedelta) -> AsyncIterator[None]:
    """Sweeps every hour while the block runs; several processes may."""
    task = asyncio.create_task(_sweep_on(objects, chain, kept), name="sweep of the incoming prefix")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sweep_on(objects: ObjectStore, chain: Chain, kept: timedelta) -> None:
    while True:
        await asyncio.sleep(_EVERY)
        try:
            if swept := await sweep(objects, chain, datetime.now(UTC) - kept):
                _LOG.info("incoming_swept", objects=swept)
        except (Retryable, Misconfigured) as problem:
            _LOG.warning("incoming_not_swept", code=problem.code.value)
        except Exception:  # noqa: BLE001 # the next hour is another try, whatever it was
            _LOG.exception("incoming_not_swept")
