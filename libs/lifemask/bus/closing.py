"""Closing what talks to somebody who may have fallen silent."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

log = structlog.get_logger()

_CLOSING: Final = set[asyncio.Future[object]]()


async def close(what: str, closing: Coroutine[Any, Any, object], seconds: float) -> None:
    """Awaits `closing` so long at most and then leaves it be: some clients swallow a cancellation and wait on.

    Raises nothing of it: whoever closes has something else to tell.
    """
    task = asyncio.ensure_future(closing)
    _CLOSING.add(task)  # nobody else holds one that is left be
    task.add_done_callback(_CLOSING.discard)
    done, _ = await asyncio.wait([task], timeout=seconds)
    problem = task.exception() if done and not task.cancelled() else None
    if problem or not done:
        log.warning("not_closed", what=what, problem=type(problem).__name__ if problem else "silence")
