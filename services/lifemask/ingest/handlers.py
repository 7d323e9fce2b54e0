"""Facts of all services become the run's view; a submitted upload is sealed; a run that is over is tidied up."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from lifemask.bus.outcomes import Keep, Later, Misconfigured, Outcome, Retryable, RunEnded, Turn, on
from lifemask.contracts import (
    DatasetSealed,
    Failure,
    FailureCode,
    ModelReady,
    ModelRevoked,
    NotificationDelivered,
    PhotoJudged,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunEvent,
    RunFailed,
    RunRejected,
    RunStalled,
    Stage,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.rows import Disposed, Seen
from lifemask.ingest.domain.runs import Run, plan_sealing
from lifemask.ingest.ports import Cleared, Custody, Leftovers, Papers, Runs, Spans
from lifemask.ingest.reminders import ClearOriginals, ClearWork, ExpireDraft, GiveUp, SealUpload

_LOG: Final = structlog.get_logger(__name__)

SEAL_AGAIN: Final = timedelta(seconds=30)
"""The store is away: long enough not to press it, short against the hour after which the run has failed."""
ASK_AGAIN: Final = timedelta(hours=1)
"""When the store refuses a deletion: an operator needs time to mend the permission."""


async def follow(event: RunEvent) -> Sequence[Outcome]:
    """The view folds the fact; the writer does it under the run's lock."""
    return [Keep(Seen(event))]


async def wind_up(
    event: RunEvent, *, runs: Runs, spans: Spans, originals_kept: timedelta, turn: Turn
) -> Sequence[Outcome]:
    """A terminal fact: shown, traced, and what was temporary goes."""
    run = await runs.run(event.user_id, event.run_id)
    if run is not None:
        spans.finish(run.id, run.submitted_at or run.created_at, turn.got_at, event.ce_type)
    expired = isinstance(event, RunCanceled) and event.reason == "draft_expired"
    return [
        Keep(Seen(event)),
        Later(ClearWork(**event.run), timedelta(0)),
        Later(ClearOriginals(**event.run), timedelta(0) if expired else originals_kept),
    ]


async def accept_run(reminder: SealUpload, *, runs: Runs, papers: Papers, custody: Custody) -> Sequence[Outcome]:
    """Finishes a submission that the call itself could not finish; asks again until `give_up`."""
    run = await runs.run(reminder.user_id, reminder.run_id)
    if run is None or run.submitted_at is None or run.facts.slots:
        return []
    sealed = await try_to_seal(run, await runs.photos(run.user_id, run.id), papers=papers, custody=custody)
    return [sealed or Later(reminder, SEAL_AGAIN)]


async def try_to_seal(
    run: Run, photos: Sequence[Photo], *, papers: Papers, custody: Custody
) -> RunAccepted | RunFailed | None:
    """None when the store is away or refuses us: one run waits, and the view of all others goes on."""
    try:
        return await seal(run, photos, papers=papers, custody=custody)
    except (Retryable, Misconfigured) as problem:
        _LOG.warning("sealing_postponed", run=run.id, code=problem.code.value)
        return None


async def seal(run: Run, photos: Sequence[Photo], *, papers: Papers, custody: Custody) -> RunAccepted | RunFailed:
    """Writes the request and the upload statement of a submitted run; a second time writes the same bytes."""
    at = run.submitted_at or run.created_at
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
        door="http",
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


async def clear_work(reminder: ClearWork, *, leftovers: Leftovers) -> Sequence[Outcome]:
    """What only the pipeline needed goes at once."""
    cleared = await leftovers.clear_work(reminder.user_id, reminder.run_id)
    return _recorded(reminder, cleared)


async def clear_originals(reminder: ClearOriginals, *, leftovers: Leftovers) -> Sequence[Outcome]:
    """Originals go, and with them anything temporary that a late worker left behind."""
    cleared = [
        *await leftovers.clear_originals(reminder.user_id, reminder.run_id),
        *await leftovers.clear_work(reminder.user_id, reminder.run_id),
    ]
    return _recorded(reminder, cleared)


def _recorded(reminder: ClearWork | ClearOriginals, cleared: Sequence[Cleared]) -> Sequence[Outcome]:
    """A refused deletion is recorded and asked again; it must not stop the view of everybody."""
    rows: list[Outcome] = [
        Keep(
            Disposed(
                reminder.user_id,
                reminder.run_id,
                group.what,
                group.objects,
                group.bytes,
                "denied" if group.denied else "deleted",
            )
        )
        for group in cleared
        if group.objects or group.denied
    ]
    return [*rows, Later(reminder, ASK_AGAIN)] if any(group.denied for group in cleared) else rows


def on_end(ended: RunEnded) -> Sequence[Keep]:
    """A run that ends here is shown as over in the same transaction."""
    return [Keep(Seen(ended.terminal))] if isinstance(ended.terminal, RunEvent) else []


HANDLERS = (
    on(PhotoJudged, follow),
    on(RunAccepted, follow),
    on(PhotosValidated, follow),
    on(DatasetSealed, follow),
    on(TrainingStarted, follow),
    on(TrainingProgressed, follow),
    on(TrainingSucceeded, follow),
    on(RunStalled, follow),
    on(ModelRevoked, follow),
    on(NotificationDelivered, follow),
    on(ModelReady, wind_up),
    on(RunRejected, wind_up),
    on(RunFailed, wind_up),
    on(RunCanceled, wind_up),
    on(SealUpload, accept_run),
    on(GiveUp, give_up),
    on(ExpireDraft, expire_draft),
    on(ClearWork, clear_work),
    on(ClearOriginals, clear_originals),
)
