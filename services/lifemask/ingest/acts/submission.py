"""A draft is submitted: its set is closed first, so that whatever dies afterwards is finished by a reminder."""

from lifemask.bus.outcomes import Keep, Later, Outcome
from lifemask.contracts import RunAccepted
from lifemask.ingest.acts.drafts import load
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.photos import shown_photos
from lifemask.ingest.acts.refusals import Busy, DraftClosed, NotFound, StillComing, TooFewPhotos
from lifemask.ingest.acts.targets import take_arrived
from lifemask.ingest.domain.rows import NotADraft, RunUnknown, SetChanged, Submitted
from lifemask.ingest.domain.runs import Counts, Run, missing
from lifemask.ingest.handlers.sealing import try_to_seal
from lifemask.ingest.reminders import GiveUp, SealUpload

_TRIES = 5


async def submit(office: Office, user_id: str, run_id: str) -> None:
    """Closes and seals the set, with what has arrived at its targets until now. The same again is fine.

    Raises NotFound, DraftClosed, TooFewPhotos, StillComing, Busy.
    """
    await take_arrived(office, user_id, run_id)
    for _ in range(_TRIES):
        run, counts = await load(office, user_id, run_id)
        if run.submitted_at is not None:
            return await _seal(office, run)
        if run.is_over:
            raise DraftClosed(run_id)
        try:
            await _close(office, run, counts)
        except SetChanged:
            continue
        except RunUnknown:
            raise NotFound(run_id) from None
        except NotADraft:
            continue
    raise Busy(run_id)


async def _close(office: Office, run: Run, counts: Counts) -> None:
    if needed := missing(counts, office.limits.photos_min):
        raise TooFewPhotos(run.id, counts.received, needed, await shown_photos(office, run.user_id, run.id))
    if counts.coming:
        raise StillComing(run.id)
    outcomes: list[Outcome] = [
        Keep(Submitted(run.user_id, run.id, counts.received, counts.rejected)),
        Later(SealUpload(user_id=run.user_id, run_id=run.id), office.limits.sealing_retry),
        Later(GiveUp(user_id=run.user_id, run_id=run.id), office.limits.sealing_deadline, control=True),
    ]
    await office.desk.commit(run.user_id, outcomes, cause=f"{run.id}:submitted", run_id=run.id)


async def _seal(office: Office, run: Run) -> None:
    """A store that is away does not undo the submission: the reminder seals it, as it does a run of the other door."""
    if run.facts.slots or run.by_event:
        return
    photos = await office.runs.photos(run.user_id, run.id)
    sealed = await try_to_seal(run, photos, originals=office.originals, papers=office.papers, custody=office.custody)
    if isinstance(sealed, RunAccepted):  # a broken custody is the reminder's to tell, with a signed refusal
        await office.desk.commit(run.user_id, [sealed], cause=f"{run.id}:sealed", run_id=run.id)
