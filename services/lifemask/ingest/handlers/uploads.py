"""An app's upload is taken over, a few objects at a time, and sealed; or refused with the precise reason.

A run has its row, and its terminal fact whatever happens, from the first message on. The store is asked in reminders of
the run: while it is away, this run waits until its deadline, and the views of all others go on.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from lifemask.bus.outcomes import Keep, Later, Misconfigured, Outcome, Retryable, Turn
from lifemask.contracts import PhotoReceived, PhotosUploaded, RunEvent, RunFailed, RunRejected, Stage, photo_id_of
from lifemask.ingest.acts.office import Limits
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.rows import NewPhoto, NewUpload, Suspicious
from lifemask.ingest.domain.runs import Run
from lifemask.ingest.domain.uploads import (
    UNREADABLE,
    content_of,
    find_refusal,
    find_unfit,
    objects_of,
    refused,
    too_few,
    upload_named_in,
)
from lifemask.ingest.handlers.sealing import SEAL_AGAIN, try_to_seal
from lifemask.ingest.ports import ChainSpoiled, Custody, Incoming, IncomingMissing, Originals, Papers, Runs
from lifemask.ingest.receiving import Received, Receiver, TooLarge, TooSmall
from lifemask.ingest.reminders import ClearIncoming, TakeUpload

_LOG: Final = structlog.get_logger(__name__)
_NOW: Final = timedelta(0)


async def take_upload(event: PhotosUploaded, *, runs: Runs, limits: Limits) -> Sequence[Outcome]:
    """The run begins. The same event again says nothing new; other content for the same run has no effect."""
    content, objects = content_of(event), objects_of(event)
    known = await runs.run(event.user_id, event.run_id)
    if known is not None:
        return [] if known.content == content else [Keep(_misuse(event, content))]
    taken = await runs.taker(event.user_id, event.upload) is not None
    refusal = find_refusal(event, taken=taken, minimum=limits.photos_min, maximum=limits.photos_max)
    upload = None if taken else event.upload
    row = NewUpload(event.user_id, event.run_id, event.request.model_dump_json(), content, upload, objects)
    if refusal is None:
        return [Keep(row), Later(TakeUpload(**event.run), _NOW)]
    return [Keep(row), refusal, _clear_incoming(refusal)]


def refuse_unreadable(user_id: str, run_id: str, problem: str, body: bytes) -> Sequence[Outcome]:
    """An event that does not fit its model ends the run it names; what it announced goes, if it says where that is."""
    row = NewUpload(user_id, run_id, UNREADABLE, "unreadable", upload_named_in(body))
    return [Keep(row), refused(user_id, run_id, problem)]


async def take_over(
    reminder: TakeUpload,
    *,
    runs: Runs,
    incoming: Incoming,
    originals: Originals,
    papers: Papers,
    custody: Custody,
    limits: Limits,
    turn: Turn,
) -> Sequence[Outcome]:
    """Takes the next objects over; when all are here, seals the run."""
    run = await runs.run(reminder.user_id, reminder.run_id)
    if run is None or run.upload is None or run.facts.slots:
        return []
    await turn.check()
    photos = await runs.photos(run.user_id, run.id)
    if reminder.taken >= len(run.objects):
        return await _conclude(
            run, photos, reminder, originals=originals, papers=papers, custody=custody, minimum=limits.photos_min
        )
    receiver = Receiver(originals, custody, limits.photo_bytes_min, limits.photo_bytes_max)
    try:
        unfit = await _unfit(run, incoming, limits) if reminder.taken == 0 else None
        if unfit is not None:
            return _ended(refused(run.user_id, run.id, unfit, len(run.objects)))
        return await _bring(run, photos, reminder, incoming=incoming, receiver=receiver, limits=limits)
    except ChainSpoiled as spoiled:
        return _ended(RunFailed(user_id=run.user_id, run_id=run.id, stage=Stage.REQUEST, failure=spoiled.failure))
    except (Retryable, Misconfigured) as problem:
        _LOG.warning("takeover_postponed", run=run.id, code=problem.code.value)
        return [Later(reminder, SEAL_AGAIN)]


async def _conclude(
    run: Run,
    photos: Sequence[Photo],
    reminder: TakeUpload,
    *,
    originals: Originals,
    papers: Papers,
    custody: Custody,
    minimum: int,
) -> Sequence[Outcome]:
    """Files that came twice count once, so only now it is known how many photos there are."""
    if len(photos) < minimum:
        return _ended(too_few(run.user_id, run.id, len(photos), minimum, len(run.objects)))
    sealed = await try_to_seal(run, photos, originals=originals, papers=papers, custody=custody)
    if sealed is None:
        return [Later(reminder, SEAL_AGAIN)]
    return [sealed, _clear_incoming(sealed)]


async def _unfit(run: Run, incoming: Incoming, limits: Limits) -> str | None:
    """Everything that can be said before a byte is read, said at once."""
    sizes: dict[str, int | None] = {}
    for start in range(0, len(run.objects), limits.takeover_at_once):
        few = run.objects[start : start + limits.takeover_at_once]
        found = await asyncio.gather(
            *(incoming.size(run.user_id, run.upload or "", name) for name in few), return_exceptions=True
        )
        for name, size in zip(few, found, strict=True):
            if isinstance(size, BaseException):
                raise size
            sizes[name] = size
    return find_unfit(sizes, limits.photo_bytes_min, limits.photo_bytes_max)


async def _bring(
    run: Run, photos: Sequence[Photo], reminder: TakeUpload, *, incoming: Incoming, receiver: Receiver, limits: Limits
) -> Sequence[Outcome]:
    few = run.objects[reminder.taken : reminder.taken + limits.takeover_at_once]
    taking = [
        receiver.receive(
            run.user_id, run.id, photo_id_of(run.id, name), incoming.read(run.user_id, run.upload or "", name)
        )
        for name in few
    ]
    found = await asyncio.gather(*taking, return_exceptions=True)  # all end before one's trouble is told
    outcomes: list[Outcome] = []
    known = {photo.sha256: photo.id for photo in photos}
    for name, received in zip(few, found, strict=True):
        if isinstance(received, BaseException):
            return _ended(refused(run.user_id, run.id, _said(name, received, limits), len(run.objects)))
        photo_id = photo_id_of(run.id, name)
        if known.setdefault(received.sha256, photo_id) == photo_id:
            outcomes += _photo(run, photo_id, received, limits.photos_max)
        else:
            await receiver.originals.remove(run.user_id, run.id, photo_id)
    following = reminder.model_copy(update={"taken": reminder.taken + len(few)})
    return [*outcomes, Later(following, _NOW)]


def _said(name: str, problem: BaseException, limits: Limits) -> str:
    """What is wrong with an object that changed since it was looked at. Raises what is no fault of the object."""
    sizes: dict[str, int | None]
    match problem:
        case IncomingMissing():
            sizes = {name: None}
        case TooLarge():
            sizes = {name: limits.photo_bytes_max + 1}
        case TooSmall():
            sizes = {name: 0}
        case _:
            raise problem
    return find_unfit(sizes, limits.photo_bytes_min, limits.photo_bytes_max) or ""


def _photo(run: Run, photo_id: str, received: Received, maximum: int) -> list[Outcome]:
    row = NewPhoto(
        run.user_id,
        run.id,
        photo_id,
        received.sha256,
        received.bytes,
        received.media_type,
        maximum,
        door="kafka",
    )
    event = PhotoReceived(
        user_id=run.user_id, run_id=run.id, photo_id=photo_id, bytes=received.bytes, commitment=received.commitment
    )
    return [Keep(row), event]


def _ended(terminal: RunRejected | RunFailed) -> list[Outcome]:
    return [terminal, _clear_incoming(terminal)]


def _clear_incoming(event: RunEvent) -> Later:
    return Later(ClearIncoming(**event.run, reason=event.ce_type), _NOW)


def _misuse(event: PhotosUploaded, content: str) -> Suspicious:
    return Suspicious(
        event.user_id, event.run_id, event.ce_type, content, "the run id was used before, with other content"
    )
