"""One run from a folder to its end through Kafka, shown while it happens."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lifemask.cli.client import Api
from lifemask.cli.heard import Heard
from lifemask.cli.out import Out
from lifemask.cli.render import Show
from lifemask.cli.upstream import Upstream
from lifemask.cli.views import Run, Uploaded
from lifemask.contracts import PhotoJudged

_POLL: Final = 0.1
_LOOKS: Final = 100
"""For the API to show what Kafka told."""


async def announce_photos(
    upstream: Upstream,
    user: str,
    photos: Sequence[Path],
    request: Mapping[str, Any],
    out: Out,
    *,
    note: Callable[[Run], None] = lambda _: None,
) -> Run:
    """Puts, announces, hears; returns the run at its terminal fact, as its events tell it."""
    event = await upstream.put(user, photos, request)
    with Show(out, note) as show:
        heard = Heard.of(event, datetime.now(UTC))
        show.opened(heard.run, len(photos))
        for name in event.objects:
            show.uploaded(Uploaded(name=name, status="received"))
        await upstream.announce(event)
        async with contextlib.aclosing(upstream.hear(event)) as coming:
            async for said, at in coming:
                before = heard.run
                heard.hear(said, at)
                if isinstance(said, PhotoJudged):
                    show.judged(heard.photo(said))
                if heard.run != before:
                    show.moved(heard.run)
                if heard.run.is_over:
                    break
    return heard.run


async def shown_at_last(api: Api, user: str, run_id: str) -> Run:
    """The run as the API shows it, once it has seen the end as well."""
    for _ in range(_LOOKS):
        run = await api.run(user, run_id)
        if run.is_over:
            return run
        await asyncio.sleep(_POLL)
    return await api.run(user, run_id)
