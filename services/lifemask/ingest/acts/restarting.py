"""A run that ended without a model is started again: a new run, of the same originals."""

from datetime import timedelta
from typing import Final

from lifemask.bus.outcomes import Keep, Later, Outcome
from lifemask.contracts import new_id
from lifemask.ingest.acts.drafts import load, require_room
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.refusals import NotRestartable, PhotosGone
from lifemask.ingest.domain.restarting import Hindrance, hindrance, new_ids, submits_itself
from lifemask.ingest.domain.rows import AlreadyRestarted, OriginalsGone, Restarted
from lifemask.ingest.domain.runs import Run
from lifemask.ingest.reminders import BringOver, ExpireDraft

_NOW: Final = timedelta(0)


async def restart(office: Office, user_id: str, run_id: str, *, submit: bool | None = None) -> tuple[str, bool]:
    """The new run's id, and whether it is new: a run is started again once, whoever asks how often.

    `submit`: whether the new run is submitted by itself; None decides by how the run ended. The originals are copied
    afterwards, in the user's lane. Raises NotFound, NotRestartable, TooManyOpen, PhotosGone.
    """
    run, _ = await load(office, user_id, run_id)
    if run.restarted_as is not None:
        return run.restarted_as, False
    if (why := hindrance(run)) is not None:
        raise NotRestartable(run_id, why)
    await require_room(office, user_id)
    new = new_id()
    row = await _row(office, run, new, submit=submit)
    outcomes: list[Outcome] = [
        Keep(row),
        Later(ExpireDraft(user_id=user_id, run_id=new), office.limits.draft_life, control=True),
        Later(BringOver(user_id=user_id, run_id=new), _NOW),
    ]
    try:
        await office.desk.commit(user_id, outcomes, cause=f"{new}:restart", run_id=new, takes=True)
    except AlreadyRestarted as known:
        return known.run_id, False
    except OriginalsGone:
        raise PhotosGone(run_id) from None
    return new, True


async def _row(office: Office, run: Run, new: str, *, submit: bool | None) -> Restarted:
    photos = await office.runs.photos(run.user_id, run.id)
    if not photos:
        raise NotRestartable(run.id, Hindrance.EMPTY)
    return Restarted(
        user_id=run.user_id,
        run_id=new,
        restarted_from=run.id,
        photos=tuple(new_ids(new, photos).items()),
        kept=office.limits.originals_kept,
        submits=submits_itself(run, asked=submit),
    )
