"""Route of links: one object for one purpose until a time. The link is the right; there is no listing."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from lifemask.ingest.http.auth import TheOffice, answers
from lifemask.ingest.http.problems import Problem, not_found
from lifemask.ingest.http.ranges import NotSatisfiable, Span, span_of
from lifemask.ingest.ports import Download, LinkExpired, LinkUnknown

router: Final = APIRouter(prefix="/v1/objects", tags=["objects"])


@router.head("/{token}", include_in_schema=False)
@router.get("/{token}", response_class=StreamingResponse, responses=answers(404, 410, 416))
async def fetch(
    request: Request,
    office: TheOffice,
    token: str,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    """The object behind a link, whole or one range of it."""
    try:
        found = await office.links.find(token, office.clock())
    except LinkUnknown:
        raise not_found() from None
    except LinkExpired:
        raise _gone() from None
    span = _span(found, range_ if if_range in (None, found.tag) else None)
    headers = _headers(found, span)
    status = HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK
    if request.method == "HEAD":
        return Response(None, status, headers, found.media_type)
    start, end = (span.start, span.end) if span else (0, found.bytes)
    return StreamingResponse(office.links.read(found, start, end), status, headers, found.media_type)


def _span(found: Download, header: str | None) -> Span | None:
    try:
        return span_of(header, found.bytes)
    except NotSatisfiable:
        raise Problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            f"The object has {found.bytes} bytes; the range begins behind its end.",
            "Ask for a range within the object.",
            headers={"Content-Range": f"bytes */{found.bytes}"},
        ) from None


def _headers(found: Download, span: Span | None) -> dict[str, str]:
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": found.tag,
        "Content-Length": str(span.end - span.start if span else found.bytes),
        "Content-Disposition": f'attachment; filename="{found.name}"',
    }
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{found.bytes}"
    return headers


def _gone() -> Problem:
    return Problem(
        HTTPStatus.GONE,
        "link_expired",
        "The link was for a limited time, which is over.",
        "Ask for a new link.",
    )
