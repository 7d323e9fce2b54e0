"""A submitted upload is sealed, or the run ends: a draft expires, a submission takes too long."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from lifemask.bus.outcomes import Later, Misconfigured, Outcome, Retryable
from lifemask.contracts import Failure, FailureCode, RunAccepted, RunCanceled, RunFailed, Stage
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.runs import Run, door_of, plan_sealing
from lifemask.ingest.ports import Custody, Originals, Papers, Runs
from lifemask.ingest.reminders import ExpireDraft, GiveUp, SealUpload

_LOG: Final = structlog.get_logger(__name__)

SEAL_AGAIN: Final = timedelta(seconds=30)
"""The store is away: long enough not to press it, short against the hour after which the run has failed."""


async def accept_run(
    reminder: SealUpload, *, runs: Runs, originals: Originals, papers: Papers, custody: Custody
) -> Sequence[Outcome]:
    """Finishes a submission that the call itself could not finish; asks again until `give_up`."""
    run = await runs.run(reminder.user_id, reminder.run_id)
    if run is None or run.submitted_at is None or run.by_event or run.facts.slots:
        return []
    photos = await runs.photos(run.user_id, run.id)
    sealed = await try_to_seal(run, photos, originals=originals, papers=papers, custody=custody)
    return [sealed or Later(reminder, SEAL_AGAIN)]


async def try_to_seal(
    run: Run, photos: Sequence[Photo], *, originals: Originals, papers: Papers, custody: Custody
) -> RunAccepted | RunFailed | None:
    """None when the store is away or refuses us: one run waits, and the view of all others goes on."""
    try:
        return await seal(run, photos, originals=originals, papers=papers, custody=custody)
    except (Retryable, Misconfigured) as problem:
        _LOG.warning("sealing_postponed", run=run.id, code=problem.code.value)
        return None


async def seal(
    run: Run, photos: Sequence[Photo], *, originals: Originals, papers: Papers, custody: Custody
) -> RunAccepted | RunFailed:
    """Writes the request and the upload statement of a submitted run; a second time writes the same bytes.

    The set is closed, so that an original without a row is one of an upload that was cut off.
    """
    at = run.submitted_at or run.created_at
    await originals.keep_only(run.user_id, run.id, [photo.id for photo in photos])
    await papers.keep_request(run.user_id, run.id, run.request)
    digest = hashlib.sha256(run.request.encode()).hexdigest()
    sealed = await custody.seal_upload(plan_sealing(run, photos, digest, at))
    if isinstance(sealed, Failure):
        return RunFailed(user_id=run.user_id, run_id=run.id, stage=Stage.REQUEST, failure=sealed)
    return RunAccepted(
        user_id=run.user_id,
        run_id=run.id,
        statement=sealed,
        photos=len(photos),
        door=door_of(photos),
        parameters=run.wish.parameters,
    )


async def give_up(reminder: GiveUp) -> Sequence[Outcome]:
    """The bus drops this when the run is no longer here, which is the rule."""
    failure = Failure.of(FailureCode.DEADLINE, stage=Stage.REQUEST.value)
    return [RunFailed(user_id=reminder.user_id, run_id=reminder.run_id, stage=Stage.REQUEST, failure=failure)]


async def expire_draft(reminder: ExpireDraft, *, runs: Runs) -> Sequence[Outcome]:
    """A draft that nobody submitted is closed."""
    run = await runs.run(reminder.user_id, reminder.run_id)
    if run is None or not run.is_draft:
        return []
    return [RunCanceled(user_id=run.user_id, run_id=run.id, stage=Stage.REQUEST, reason="draft_expired")]
