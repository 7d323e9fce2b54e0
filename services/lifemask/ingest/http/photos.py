"""Routes of a run's photos: many files in one streamed request, their verdicts, their removal."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from lifemask.contracts.ids import UUID7_PATTERN
from lifemask.ingest.acts.drafts import load, remove_photo
from lifemask.ingest.acts.fetching import fetch_photos
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.photos import receive_photo, shown_photos
from lifemask.ingest.acts.refusals import DraftClosed, TooManyPhotos
from lifemask.ingest.acts.targets import take_arrived
from lifemask.ingest.domain.photos import PhotoResult, PhotoView, Shown, UploadStatus, plain_name
from lifemask.ingest.domain.view import PhotosView, show_run
from lifemask.ingest.http.auth import SECURED, Owner, RunPath, TheOffice, answers
from lifemask.ingest.http.bodies import read_json, uploaded
from lifemask.ingest.http.multipart import BadMultipart, boundary_of, parts
from lifemask.ingest.http.places import Places
from lifemask.ingest.http.problems import Problem
from lifemask.ingest.http.routing import routes

router: Final = routes("/v1/users/{user}/runs/{run}/photos", "photos")

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"photos": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "https URLs on public servers, fetched by us",
                    "properties": {"urls": {"type": "array", "items": {"type": "string", "format": "uri"}}},
                    "required": ["urls"],
                }
            },
        },
    }
}


class PhotoUrls(BaseModel):
    """Where photos are to be fetched from."""

    model_config = ConfigDict(extra="forbid")

    urls: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=2048)], ...], Field(min_length=1)]


class UploadAnswer(Shown):
    """One result per file, in the order of the files, and the photos in numbers."""

    results: tuple[PhotoResult, ...]
    counts: PhotosView


class PhotoPage(Shown):
    """All photos of the run, in order of arrival."""

    photos: tuple[PhotoView, ...]


@router.post("", openapi_extra=SECURED | _BODY, responses=answers(400, 401, 404, 408, 409, 413, 415, 422, 429))
async def add(request: Request, office: TheOffice, owner: Owner, run: RunPath) -> UploadAnswer:
    """Takes files of any field name, or fetches them from https URLs.

    A file that is refused stops no other; the same file twice counts once.
    """
    by_url = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    boundary = b"" if by_url else _boundary(request)
    if not (await load(office, owner, run))[0].is_draft:
        raise DraftClosed(run)
    with _places(request).one(owner):
        if by_url:
            results = await _fetch(request, office, owner, run)
        else:
            results = await _receive(request, office, owner, run, boundary)
    if not results:
        raise _damaged("there is no file in it", run, results)
    numbers = show_run(*await load(office, owner, run), office.limits.photos_min).photos
    return UploadAnswer(results=tuple(results), counts=numbers)


@router.get("", openapi_extra=SECURED, responses=answers(401, 404, 422, 429))
async def listed(office: TheOffice, owner: Owner, run: RunPath) -> PhotoPage:
    """Each photo with its verdict; what has arrived at a target becomes a photo now."""
    await load(office, owner, run)
    await take_arrived(office, owner, run)
    return PhotoPage(photos=tuple(await shown_photos(office, owner, run)))


@router.delete("/{photo}", status_code=204, openapi_extra=SECURED, responses=answers(401, 404, 409, 422, 429))
async def take_out(
    office: TheOffice, owner: Owner, run: RunPath, photo: Annotated[str, Path(pattern=UUID7_PATTERN)]
) -> None:
    """Takes a photo out of a draft and deletes it."""
    await remove_photo(office, owner, run, photo)


async def _fetch(request: Request, office: Office, owner: str, run: str) -> list[PhotoResult]:
    limits = office.limits
    given = await read_json(request, PhotoUrls, limits.json_bytes_max, limits.upload_idle.total_seconds())
    if len(given.urls) > limits.photos_max:
        raise TooManyPhotos(run, limits.photos_max)
    results = await fetch_photos(office, owner, run, given.urls)
    await _keep_names(office, owner, run, results)
    return results


async def _receive(request: Request, office: Office, owner: str, run: str, boundary: bytes) -> list[PhotoResult]:
    """The files that came whole before an interruption are photos of the run; of the others nothing stays."""
    limits = office.limits
    body = uploaded(request, owner, limits.upload_bytes_max, limits)
    results: list[PhotoResult] = []
    try:
        async for name, content in _files(body, boundary):
            results.append(await receive_photo(office, owner, run, name, content))
    except BadMultipart as error:
        raise _damaged(str(error), run, results) from None
    except ClientDisconnect:
        raise _damaged("the connection ended", run, results) from None
    finally:
        await _keep_names(office, owner, run, results)
    return results


async def _files(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
    async for part in parts(body, boundary):
        if part.filename is not None:
            yield plain_name(part.filename), part.chunks()


async def _keep_names(office: Office, owner: str, run: str, results: list[PhotoResult]) -> None:
    new = {
        result.photo_id: result.name
        for result in results
        if result.photo_id is not None and result.status is UploadStatus.RECEIVED
    }
    if new:
        await office.names.add(owner, run, new)


def _boundary(request: Request) -> bytes:
    try:
        return boundary_of(request.headers.get("content-type"))
    except BadMultipart as error:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"Photos cannot be read from this request: {error}.",
            "Send the files as multipart/form-data, one part with a file name for each.",
        ) from None


def _damaged(why: str, run: str, results: list[PhotoResult]) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "bad_multipart",
        f"The upload cannot be read to its end: {why}.",
        "Send the files again; those that arrived are recognised.",
        run_id=run,
        results=[result.model_dump(mode="json", exclude_none=True) for result in results],
    )


def _places(request: Request) -> Places:
    places: Places = request.app.state.uploads
    return places
