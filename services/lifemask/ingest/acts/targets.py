"""Files come straight into the store: targets are given out, and what has arrived is taken over, hashed once more."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lifemask.bus.outcomes import Keep, Outcome
from lifemask.contracts import PhotoReceived, new_id
from lifemask.ingest.acts.drafts import load
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.refusals import DraftClosed, NotFound, TooManyPhotos, WrongSizes
from lifemask.ingest.domain.rows import NewPhoto, NewSlots, NotADraft, RunFull, RunUnknown, SameFile, SlotDone
from lifemask.ingest.domain.targets import Slot, TargetView
from lifemask.ingest.ports import IncomingMissing
from lifemask.ingest.receiving import Differs, TooLarge, TooSmall


@dataclass(frozen=True, slots=True)
class Announced:
    """A file that its sender describes."""

    name: str
    bytes: int
    sha256: str
    media_type: str


async def give_targets(office: Office, user_id: str, run_id: str, files: Sequence[Announced]) -> list[TargetView]:
    """A target for each file. Raises NotFound, DraftClosed, WrongSizes, TooManyPhotos; then none is given."""
    run, _ = await load(office, user_id, run_id)
    if not run.is_draft:
        raise DraftClosed(run_id)
    limits = office.limits
    least, most = limits.photo_bytes_min, limits.photo_bytes_max
    if wrong := [at for at, file in enumerate(files) if not least <= file.bytes <= most]:
        raise WrongSizes(run_id, wrong, least, most)
    slots = [Slot(user_id, run_id, new_id(), file.sha256, file.bytes, file.media_type) for file in files]
    expires_at = office.clock() + limits.target_life
    row = NewSlots(user_id, run_id, tuple(slots), expires_at, limits.photos_max)
    try:
        await office.desk.commit(user_id, [Keep(row)], cause=f"{slots[0].photo_id}:targets", run_id=run_id)
    except RunUnknown:
        raise NotFound(run_id) from None
    except NotADraft:
        raise DraftClosed(run_id) from None
    except RunFull:
        raise TooManyPhotos(run_id, limits.photos_max) from None
    await office.names.add(user_id, run_id, {slot.photo_id: file.name for slot, file in zip(slots, files, strict=True)})
    return [await _target(office, slot, file.name, expires_at) for slot, file in zip(slots, files, strict=True)]


async def _target(office: Office, slot: Slot, name: str, expires_at: datetime) -> TargetView:
    address = await office.targets.address(slot, office.limits.target_life)
    return TargetView(
        name=name, photo_id=slot.photo_id, url=address.url, headers=dict(address.headers), expires_at=expires_at
    )


async def take_arrived(office: Office, user_id: str, run_id: str) -> None:
    """Takes over what has arrived at the targets of a draft. Safe beside itself. Raises what the store raises."""
    slots = await office.runs.open_slots(user_id, run_id)
    at_once = office.limits.takeover_at_once
    for start in range(0, len(slots), at_once):
        taking = (_take(office, slot) for slot in slots[start : start + at_once])
        for problem in await asyncio.gather(*taking, return_exceptions=True):
            if isinstance(problem, BaseException):
                raise problem


async def _take(office: Office, slot: Slot) -> None:
    """What is not as announced is deleted; its target stays open until its time is over."""
    user_id, run_id, photo_id = slot.user_id, slot.run_id, slot.photo_id
    if await office.incoming.size(user_id, run_id, photo_id) is None:
        return
    try:
        seen = await office.receiver.receive(
            user_id, run_id, photo_id, office.incoming.read(user_id, run_id, photo_id), sha256=slot.sha256
        )
    except IncomingMissing:
        return
    except (Differs, TooLarge, TooSmall):
        await office.incoming.remove(user_id, run_id, photo_id)
        return
    row = NewPhoto(
        user_id, run_id, photo_id, seen.sha256, seen.bytes, seen.media_type, office.limits.photos_max, "presigned"
    )
    event = PhotoReceived(
        user_id=user_id, run_id=run_id, photo_id=photo_id, bytes=seen.bytes, commitment=seen.commitment
    )
    await _keep(office, slot, [Keep(row), event, Keep(SlotDone(user_id, run_id, photo_id))])


async def _keep(office: Office, slot: Slot, outcomes: list[Outcome]) -> None:
    user_id, run_id, photo_id = slot.user_id, slot.run_id, slot.photo_id
    try:
        await office.desk.commit(user_id, outcomes, cause=f"{photo_id}:received", run_id=run_id)
    except SameFile as same:
        if same.photo_id != photo_id:  # otherwise another call has just taken this very file
            await office.originals.remove(user_id, run_id, photo_id)
            done = Keep(SlotDone(user_id, run_id, photo_id))
            await office.desk.commit(user_id, [done], cause=f"{photo_id}:duplicate", run_id=run_id)
    except RunFull:  # the target stays open: the person may take another photo out
        return
    except (NotADraft, RunUnknown):
        taken = [photo.id for photo in await office.runs.photos(user_id, run_id)]
        if photo_id not in taken:  # otherwise another call took it before the set was closed
            await office.originals.remove(user_id, run_id, photo_id)
        return
    await office.incoming.remove(user_id, run_id, photo_id)
