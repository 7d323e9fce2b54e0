"""Server-sent events of one run: first what happened after `Last-Event-ID`, then what happens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from lifemask.ingest.acts.office import Office
from lifemask.ingest.domain.changes import Change

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT: Final = b": still here\n\n"
_PAGE: Final = 200
_SLOWEST: Final = 4
"""A quiet run is looked at less and less often, down to a quarter of the poll's rate."""


def position_of(last_event_id: str | None) -> int:
    """The number in a `Last-Event-ID` header; 0, the beginning, for none and for what is not ours."""
    given = (last_event_id or "").strip()
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0


def written(change: Change) -> bytes:
    """One change as it travels; JSON text has no line breaks."""
    return f"id: {change.seq}\nevent: {change.kind}\ndata: {change.data}\n\n".encode()


async def follow(office: Office, user_id: str, run_id: str, after: int) -> AsyncIterator[bytes]:
    """Changes above `after` until a terminal one; a comment now and then keeps connections open."""
    poll, quiet = office.limits.stream_poll.total_seconds(), 0.0
    wait = poll
    yield b"retry: 2000\n\n"
    while True:
        changes = await office.runs.changes(user_id, run_id, after, _PAGE)
        for change in changes:
            yield written(change)
            if change.terminal:
                return
            after = change.seq
        if changes:
            wait, quiet = poll, 0.0
            continue
        if quiet >= office.limits.stream_heartbeat.total_seconds():
            yield HEARTBEAT
            quiet = 0.0
        await asyncio.sleep(wait)
        quiet, wait = quiet + wait, min(wait * 1.25, poll * _SLOWEST)
