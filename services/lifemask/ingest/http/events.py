"""Route of a run's live stream."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lifemask.ingest.acts.drafts import load
from lifemask.ingest.http import sse
from lifemask.ingest.http.auth import SECURED, Owner, RunPath, TheOffice, answers
from lifemask.ingest.http.places import Places
from lifemask.ingest.http.routing import routes

router: Final = routes("/v1/users/{user}/runs/{run}/events", "runs")

_EVENTS: Final[dict[str, Any]] = {
    "content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}},
    "description": "Events `run` and `photo`: data holds `run`, the run as shown but for the app's labels, and in an "
    "event `photo` that photo",
}
_NOTHING_MORE: Final[dict[str, Any]] = {
    "description": "The run is over and nothing came after `Last-Event-ID`: do not reconnect"
}


@router.get(
    "",
    openapi_extra=SECURED,
    response_class=StreamingResponse,
    responses=answers(401, 404, 422, 429, http_200=_EVENTS, http_204=_NOTHING_MORE),
)
async def stream(
    request: Request,
    office: TheOffice,
    owner: Owner,
    run: RunPath,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Every visible change since `Last-Event-ID`, then live; ends with the run's end.

    Whoever asks again after it is told when the model was withdrawn.
    """
    known, _ = await load(office, owner, run)
    after = sse.position_of(last_event_id)
    if known.is_over and not any(c.terminal for c in await office.runs.changes(owner, run, after, known.seq + 1)):
        return Response(status_code=204)
    places: Places = request.app.state.streams
    places.take(owner)
    return _Live(sse.follow(office, owner, run, after), places, owner)


class _Live(StreamingResponse):
    """A stream that gives its place back however it ends."""

    def __init__(self, content: AsyncIterator[bytes], places: Places, owner: str) -> None:
        super().__init__(content, media_type=sse.MEDIA_TYPE)
        self._leave = partial(places.leave, owner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()
