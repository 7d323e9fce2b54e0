"""A draft begins, loses a photo, is cancelled."""

import hashlib

from lifemask.bus.outcomes import Keep, Later
from lifemask.contracts import PhotoRemoved, RunCanceled, RunCancelRequested, RunRequest, Stage, new_id
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.refusals import AlreadyOver, DraftClosed, KeyConflict, NotFound, TooManyOpen
from lifemask.ingest.domain.rows import KeyTaken, NewRun, NotADraft, PhotoUnknown, RemovedPhoto, RunUnknown, Seen
from lifemask.ingest.domain.runs import Counts, Run
from lifemask.ingest.domain.status import Status, status_of
from lifemask.ingest.reminders import ExpireDraft


async def load(office: Office, user_id: str, run_id: str) -> tuple[Run, Counts]:
    """A run of this user with the numbers of its photos. Raises NotFound."""
    if (found := await office.runs.counted(user_id, run_id)) is None:
        raise NotFound(run_id)
    return found


async def create_draft(office: Office, user_id: str, wish: RunRequest, key: str | None) -> tuple[str, bool]:
    """The draft's id, and whether it is new.

    Raises KeyConflict when the key named another request, TooManyOpen when the user has too many runs under way.
    """
    request = wish.model_dump_json()
    digest = hashlib.sha256(request.encode()).hexdigest()
    if key is not None and (known := await office.runs.keyed(user_id, key)) is not None:
        return _same_request(*known, digest), False
    await require_room(office, user_id)
    run_id = new_id()
    row = NewRun(user_id, run_id, request, digest, key)
    expiry = Later(ExpireDraft(user_id=user_id, run_id=run_id), office.limits.draft_life, control=True)
    try:
        await office.desk.commit(user_id, [Keep(row), expiry], cause=f"{run_id}:draft", run_id=run_id, takes=True)
    except KeyTaken as taken:
        return _same_request(taken.run_id, taken.digest, digest), False
    return run_id, True


async def require_room(office: Office, user_id: str) -> None:
    """Raises TooManyOpen; of calls at the same moment a few more may get through."""
    if await office.runs.open_runs(user_id) >= office.limits.open_runs:
        raise TooManyOpen(office.limits.open_runs)


def _same_request(run_id: str, known: str, digest: str) -> str:
    if known != digest:
        raise KeyConflict(run_id)
    return run_id


async def remove_photo(office: Office, user_id: str, run_id: str, photo_id: str) -> None:
    """Takes a photo out of a draft and deletes it. Raises NotFound, DraftClosed."""
    removed = PhotoRemoved(user_id=user_id, run_id=run_id, photo_id=photo_id)
    row = RemovedPhoto(user_id, run_id, photo_id)
    try:
        await office.desk.commit(user_id, [Keep(row), removed], cause=f"{photo_id}:removed", run_id=run_id)
    except (RunUnknown, PhotoUnknown):
        raise NotFound(run_id) from None
    except NotADraft:
        raise DraftClosed(run_id) from None
    await office.originals.remove(user_id, run_id, photo_id)
    await office.names.forget(user_id, run_id, photo_id)


async def cancel(office: Office, user_id: str, run_id: str) -> bool:
    """Ends a run that is still here at once, asks its holder otherwise; False when it was cancelled before.

    Raises NotFound, AlreadyOver.
    """
    run, _ = await load(office, user_id, run_id)
    if run.is_over:
        if status_of(run) is not Status.CANCELED:
            raise AlreadyOver(run_id, status_of(run))
        return False
    if not run.facts.slots:
        canceled = RunCanceled(user_id=user_id, run_id=run_id, stage=Stage.REQUEST, reason="requested")
        if await office.desk.commit(user_id, [canceled], cause=f"{run_id}:canceled", run_id=run_id):
            return True
    asked = RunCancelRequested(user_id=user_id, run_id=run_id, by="user")
    await office.desk.commit(user_id, [Keep(Seen(asked)), asked], cause=f"{run_id}:cancel", run_id=run_id)
    return True
