"""The gateway of archives: answers a link with the whole sealed archive, or breaks off before any other byte.

The headers go at once, the first byte after the archive was read and hashed once.

There are no ranges: who could ask for the end alone would get it unproven. A broken download, and no status of its own,
tells the provider that something is wrong: whoever takes it for a passing fault of ours does no harm by asking again.
"""

import asyncio
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.ingest.acts.archives import ArchiveWithheld, admit, pour
from lifemask.ingest.acts.office import Office
from lifemask.ingest.domain.archives import Sealed
from lifemask.ingest.http.problems import RETRY_AFTER, Problem

_LOG: Final = structlog.get_logger(__name__)
_MEDIA_TYPE: Final = "application/zip"


async def give(request: Request, office: Office, sealed: Sealed) -> Response:
    """The archive behind a link. Raises LinkUnknown or LinkExpired."""
    await admit(office, sealed)
    headers = {
        "Accept-Ranges": "none",
        "Content-Length": str(sealed.bytes),
        "Content-Disposition": f'attachment; filename="{sealed.key.rpartition("/")[2]}"',
    }
    if request.method == "HEAD":
        return Response(None, headers=headers, media_type=_MEDIA_TYPE)
    return _Pouring(office, sealed, headers, request.app.state.archives)


class _Pouring(StreamingResponse):
    """Streams an archive. What must not end is left unfinished: the server then closes the connection.

    `places` bounds how many are under way in this process; the next one waits for the time of a request.
    """

    def __init__(self, office: Office, sealed: Sealed, headers: dict[str, str], places: asyncio.Semaphore) -> None:
        self._chunks = pour(office, sealed)
        super().__init__(self._chunks, headers=headers, media_type=_MEDIA_TYPE)
        self._office = office
        self._sealed = sealed
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._office.limits.request_timeout.total_seconds()):
                await self._places.acquire()
        except TimeoutError:
            await _busy().answer()(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.release()

    async def stream_response(self, send: Send) -> None:
        idle = self._office.limits.archive_idle.total_seconds()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    async with asyncio.timeout(idle):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (ArchiveWithheld, TimeoutError, Retryable, Misconfigured) as problem:
            _LOG.warning("archive_broken_off", run=self._sealed.run_id, problem=type(problem).__name__)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _busy() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too_many_fetches",
        "More archives are being fetched than we serve at once.",
        "Send the request again in a few seconds.",
        headers={"Retry-After": RETRY_AFTER},
    )
