"""Photos come in: each streamed into the store, hashed on the way, and known only once it lies there whole."""

from collections.abc import AsyncIterator

from lifemask.bus.outcomes import Keep
from lifemask.contracts import PhotoReceived, new_id, photo_id_of
from lifemask.contracts.runs import Door
from lifemask.ingest.acts.office import Office
from lifemask.ingest.domain import photos as answer
from lifemask.ingest.domain.photos import PhotoResult, PhotoView, show_photo
from lifemask.ingest.domain.rows import NewPhoto, NotADraft, RunFull, RunUnknown, SameFile
from lifemask.ingest.receiving import TooLarge, TooSmall


async def receive_photo(
    office: Office, user_id: str, run_id: str, name: str, chunks: AsyncIterator[bytes], *, door: Door = "http"
) -> PhotoResult:
    """What became of one file called `name`. Raises what the store, the database or `chunks` raise."""
    photo_id, limits = new_id(), office.limits
    try:
        seen = await office.receiver.receive(user_id, run_id, photo_id, chunks)
    except TooLarge:
        return answer.too_large(name, limits.photo_bytes_max)
    except TooSmall:
        return answer.too_small(name, limits.photo_bytes_min)
    row = NewPhoto(user_id, run_id, photo_id, seen.sha256, seen.bytes, seen.media_type, limits.photos_max, door)
    event = PhotoReceived(
        user_id=user_id, run_id=run_id, photo_id=photo_id, bytes=seen.bytes, commitment=seen.commitment
    )
    try:
        await office.desk.commit(user_id, [Keep(row), event], cause=f"{photo_id}:received", run_id=run_id)
    except (SameFile, NotADraft, RunFull, RunUnknown) as refusal:
        await office.originals.remove(user_id, run_id, photo_id)
        return _refused(name, refusal, limits.photos_max)
    return answer.received(name, photo_id)


def _refused(name: str, refusal: Exception, limit: int) -> PhotoResult:
    match refusal:
        case SameFile(photo_id=known):
            return answer.same_again(name, known)
        case RunFull():
            return answer.too_many(name, limit)
        case _:
            return answer.closed(name)


async def shown_photos(office: Office, user_id: str, run_id: str) -> list[PhotoView]:
    """The run's photos with verdicts and the person's own file names; announced ones with their objects'."""
    run = await office.runs.run(user_id, run_id)
    announced = {photo_id_of(run_id, name): name for name in run.objects} if run else {}
    names = announced or await office.names.read(user_id, run_id)
    return [show_photo(photo, names.get(photo.id)) for photo in await office.runs.photos(user_id, run_id)]
