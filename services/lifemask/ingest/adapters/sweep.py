"""What lies in the incoming prefix and belongs to no run any more goes after a while: uploads never announced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.objects.keys import INCOMING
from lifemask.objects.port import ObjectStore

_LOG: Final = structlog.get_logger(__name__)
_EVERY: Final = 3600.0
"""Seconds between two looks."""


async def sweep(objects: ObjectStore, before: datetime) -> int:
    """Deletes incoming objects that were last written before a time; returns how many. Raises what the store raises."""
    swept = 0
    async for info in objects.list(INCOMING):
        if info.modified_at < before:
            await objects.delete(info.key)
            swept += 1
    return swept


@asynccontextmanager
async def sweeping(objects: ObjectStore, kept: timedelta) -> AsyncIterator[None]:
    """Sweeps every hour while the block runs; several processes may."""
    task = asyncio.create_task(_sweep_on(objects, kept), name="sweep of the incoming prefix")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sweep_on(objects: ObjectStore, kept: timedelta) -> None:
    while True:
        await asyncio.sleep(_EVERY)
        try:
            if swept := await sweep(objects, datetime.now(UTC) - kept):
                _LOG.info("incoming_swept", objects=swept)
        except (Retryable, Misconfigured) as problem:
            _LOG.warning("incoming_not_swept", code=problem.code.value)
        except Exception:  # noqa: BLE001 # the next hour is another try, whatever it was
            _LOG.exception("incoming_not_swept")
