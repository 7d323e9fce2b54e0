"""Photos come in: each streamed into the store, hashed on the way, and known only once it lies there whole."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lifemask.bus.outcomes import Keep
from lifemask.contracts import PhotoReceived, new_id
from lifemask.ingest.acts.office import Office
from lifemask.ingest.domain import photos as answer
from lifemask.ingest.domain.photos import PhotoResult, PhotoView, show_photo, sniff
from lifemask.ingest.domain.rows import NewPhoto, NotADraft, RunFull, RunUnknown, SameFile

_HEAD = 16


class _WrongSize(Exception):
    """The file leaves the limits; raised inside the write, so that nothing of it stays."""


@dataclass(slots=True)
class _Stored:
    sha256: str
    bytes: int
    media_type: str
    commitment: str


async def receive_photo(
    office: Office, user_id: str, run_id: str, name: str, chunks: AsyncIterator[bytes]
) -> PhotoResult:
    """What became of one file called `name`. Raises what the store, the database or `chunks` raise."""
    photo_id, limits = new_id(), office.limits
    seen = _Stored("", 0, "", "")
    try:
        await _store(office, (user_id, run_id, photo_id), chunks, seen)
    except _WrongSize:
        if seen.bytes > limits.photo_bytes_max:
            return answer.too_large(name, limits.photo_bytes_max)
        return answer.too_small(name, limits.photo_bytes_min)
    row = NewPhoto(user_id, run_id, photo_id, seen.sha256, seen.bytes, seen.media_type, limits.photos_max)
    event = PhotoReceived(
        user_id=user_id, run_id=run_id, photo_id=photo_id, bytes=seen.bytes, commitment=seen.commitment
    )
    try:
        await office.desk.commit(user_id, [Keep(row), event], cause=f"{photo_id}:received", run_id=run_id)
    except (SameFile, NotADraft, RunFull, RunUnknown) as refusal:
        await office.originals.remove(user_id, run_id, photo_id)
        return _refused(name, refusal, limits.photos_max)
    return answer.received(name, photo_id)


async def _store(office: Office, place: tuple[str, str, str], chunks: AsyncIterator[bytes], seen: _Stored) -> None:
    digest, head = hashlib.sha256(), b""
    async with office.originals.receiving(*place) as sink:
        async for chunk in chunks:
            seen.bytes += len(chunk)
            if seen.bytes > office.limits.photo_bytes_max:
                raise _WrongSize
            head += chunk[: _HEAD - len(head)] if len(head) < _HEAD else b""
            digest.update(chunk)
            await sink.write(chunk)
        if seen.bytes < office.limits.photo_bytes_min:
            raise _WrongSize
        seen.sha256, seen.media_type = digest.hexdigest(), sniff(head)
        user_id, run_id, _ = place
        seen.commitment = await office.custody.commitment(user_id, run_id, seen.sha256)


def _refused(name: str, refusal: Exception, limit: int) -> PhotoResult:
    match refusal:
        case SameFile(photo_id=known):
            return answer.same_again(name, known)
        case RunFull():
            return answer.too_many(name, limit)
        case _:
            return answer.closed(name)


async def shown_photos(office: Office, user_id: str, run_id: str) -> list[PhotoView]:
    """The run's photos with verdicts and the person's own file names."""
    names = await office.names.read(user_id, run_id)
    return [show_photo(photo, names.get(photo.id)) for photo in await office.runs.photos(user_id, run_id)]
