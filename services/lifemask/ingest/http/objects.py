"""Route of links: one object for one purpose until a time. The link is the right; there is no listing."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from lifemask.ingest.acts.downloads import find_weights
from lifemask.ingest.http.archives import give
from lifemask.ingest.http.auth import TheOffice, answers
from lifemask.ingest.http.bodies import uploaded
from lifemask.ingest.http.places import Places
from lifemask.ingest.http.problems import Problem, not_found
from lifemask.ingest.http.ranges import NotSatisfiable, Span, span_of
from lifemask.ingest.http.routing import routes
from lifemask.ingest.ports import Download, LinkExpired, LinkUnknown, NotAsAnnounced, SlotTaken

router: Final = routes("/v1/objects", "objects")


@router.head("/{token}", include_in_schema=False)
@router.get("/{token}", response_class=StreamingResponse, responses=answers(404, 410, 416, 503))
async def fetch(
    request: Request,
    office: TheOffice,
    token: str,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    """The object behind a link, whole or one range of it; an archive only whole, and only as it was sealed."""
    now = office.clock()
    try:
        if sealed := office.archives.named(token, now):
            return await give(request, office, sealed)
        found = await find_weights(office, token, now)
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


@router.put("/{token}", responses=answers(400, 403, 404, 408, 410, 412, 429))
async def put(request: Request, office: TheOffice, token: str) -> Response:
    """Takes the one file that the link of a target is for."""
    try:
        promised = office.targets.promised(token, office.clock())
    except LinkUnknown:
        raise not_found() from None
    except LinkExpired:
        raise _gone() from None
    if wrong := sorted(name for name, value in promised.headers.items() if request.headers.get(name) != value):
        raise _not_agreed(wrong)
    places: Places = request.app.state.uploads
    owner = ".".join(promised.key.split("/")[1:3])  # incoming/{app}/{user}/…
    with places.one(owner):
        try:
            await office.targets.take(promised, uploaded(request, owner, promised.bytes, office.limits))
        except (NotAsAnnounced, ClientDisconnect):
            raise _other_bytes() from None
        except SlotTaken:
            raise _there_already() from None
    return Response(status_code=HTTPStatus.OK)


def _not_agreed(headers: list[str]) -> Problem:
    return Problem(
        HTTPStatus.FORBIDDEN,
        "not_as_agreed",
        f"The link is for another request: these headers differ or are missing: {', '.join(headers)}.",
        "Send exactly the headers that came with the link.",
    )


def _other_bytes() -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "wrong_bytes",
        "What came is not the file that was announced; nothing of it was kept.",
        "Send the whole file again, or announce it anew.",
    )


def _there_already() -> Problem:
    return Problem(
        HTTPStatus.PRECONDITION_FAILED,
        "already_there",
        "This file was put before; a link takes one file once.",
        "Nothing to do: submit the run.",
    )


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
