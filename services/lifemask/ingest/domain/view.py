"""A run as it is shown: computed from what is known, never stored as the truth."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from lifemask.contracts import (
    DatasetSealed,
    ModelReady,
    ModelRevoked,
    Move,
    PhotosValidated,
    RunAccepted,
    RunFailed,
    RunId,
    RunRejected,
    Stage,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.ingest.domain.attempts import Attempt, attempts_of
from lifemask.ingest.domain.facts import Facts
from lifemask.ingest.domain.photos import Shown
from lifemask.ingest.domain.runs import Counts, Run, missing
from lifemask.ingest.domain.status import (
    Status,
    is_cancel_too_late,
    percent,
    progress_of,
    stage_of,
    stall_of,
    status_of,
)
from lifemask.ingest.domain.words import words_of


class PhotosView(Shown):
    """The photos in numbers; `needed` is how many more it certainly takes."""

    received: int
    pending: int
    usable: int
    rejected: int
    needed: int


class TrainingView(Shown):
    """The numbers chosen and, once it runs, the latest training."""

    steps: int
    learning_rate: str
    rank: int
    trigger_word: str
    provider: str | None = None
    id: str | None = None
    """The training's id at the provider."""
    attempt: int | None = None
    step: int | None = None
    """Steps done."""
    percent: int = 0


class ModelView(Shown):
    """The published model."""

    id: str
    version: str
    weights_sha256: str
    bytes: int
    hub_repo: str | None = None
    revoked: str | None = None
    """Why it was withdrawn; stop using it."""


class CostView(Shown):
    """US dollars as decimal strings: before the start, and what the provider bills."""

    currency: Literal["USD"] = "USD"
    estimated: str | None = None
    billed: str | None = None


class TimingsView(Shown):
    """When each step was seen, by the database's clock; `seconds` from submit to the end."""

    created_at: datetime
    submitted_at: datetime | None = None
    accepted_at: datetime | None = None
    validated_at: datetime | None = None
    packaged_at: datetime | None = None
    training_started_at: datetime | None = None
    trained_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None


class RunView(Shown):
    """A run as its owner and the app see it."""

    id: str
    name: str
    restarted_from: RunId | None = None
    """The earlier run whose photos this run was made from."""
    restarted_as: RunId | None = None
    """The run that was made from this run's photos."""
    status: Status
    delayed: bool = False
    """Waits for something that is ours to mend."""
    cancel_too_late: bool = False
    """A cancel was asked for, and the run had ended otherwise before it arrived."""
    stage: Stage
    progress: int = Field(ge=0, le=100)
    summary: str
    """What is happening, a sentence for people."""
    whose_move: Move
    next_step: str
    """What to do now, a sentence for people."""
    photos: PhotosView
    training: TrainingView
    model: ModelView | None = None
    cost: CostView | None = None
    attempts: tuple[Attempt, ...] = ()
    timings: TimingsView
    metadata: dict[str, str] = Field(default_factory=dict)


def show_run(run: Run, counts: Counts, minimum: int) -> RunView:
    """The view of a run with photos in these numbers, when `minimum` usable photos are needed."""
    wish, photos = run.wish, _photos(run.facts, counts, minimum)
    words = words_of(run, counts, photos.needed)
    return RunView(
        id=run.id,
        name=wish.name,
        restarted_from=run.restarted_from,
        restarted_as=run.restarted_as,
        status=status_of(run),
        delayed=stall_of(run) is not None,
        cancel_too_late=is_cancel_too_late(run),
        stage=stage_of(run),
        progress=progress_of(run),
        summary=words.summary,
        whose_move=words.move,
        next_step=words.next_step,
        photos=photos,
        training=_training(run),
        model=_model(run.facts),
        cost=_cost(run.facts),
        attempts=attempts_of(run.facts),
        timings=_timings(run),
        metadata=wish.metadata,
    )


def _photos(facts: Facts, counts: Counts, minimum: int) -> PhotosView:
    """Once the set is decided its own numbers hold, whatever single verdicts are still on their way."""
    decided = facts.one(RunRejected) or facts.one(PhotosValidated)
    if decided is None:
        return PhotosView(
            received=counts.received,
            pending=counts.pending,
            usable=counts.usable,
            rejected=counts.rejected,
            needed=missing(counts, minimum),
        )
    return PhotosView(
        received=decided.received,
        pending=0,
        usable=decided.usable,
        rejected=decided.received - decided.usable,
        needed=decided.needed if isinstance(decided, RunRejected) else 0,
    )


def _training(run: Run) -> TrainingView:
    wish, started = run.wish, [event for event, _ in run.facts.of(TrainingStarted)]
    latest = max(started, key=lambda event: event.attempt, default=None)
    attempt = latest.attempt if latest else None
    step = next((event.step for event, _ in run.facts.of(TrainingProgressed) if event.attempt == attempt), None)
    done = run.facts.has(TrainingSucceeded)
    return TrainingView(
        steps=wish.steps,
        learning_rate=wish.learning_rate,
        rank=wish.rank,
        trigger_word=wish.trigger_word,
        provider=latest.provider if latest else None,
        id=latest.training if latest else None,
        attempt=attempt,
        step=wish.steps if done else step,
        percent=100 if done else percent(run.facts),
    )


def _model(facts: Facts) -> ModelView | None:
    if (ready := facts.one(ModelReady)) is None:
        return None
    revoked = facts.one(ModelRevoked)
    return ModelView(
        id=ready.model_id,
        version=ready.version,
        weights_sha256=ready.weights,
        bytes=ready.bytes,
        hub_repo=ready.hub_repo,
        revoked=revoked.reason if revoked else None,
    )


def _cost(facts: Facts) -> CostView | None:
    started = [event.estimated_cost_usd for event, _ in facts.of(TrainingStarted)]
    succeeded, failed = facts.one(TrainingSucceeded), facts.one(RunFailed)
    billed = succeeded.cost_usd if succeeded else failed.cost_usd if failed else None
    if not started and billed is None:
        return None
    return CostView(estimated=started[-1] if started else None, billed=billed)


def _timings(run: Run) -> TimingsView:
    facts, end = run.facts, run.facts.end
    seconds = (end.at - run.submitted_at).total_seconds() if end and run.submitted_at else None
    return TimingsView(
        created_at=run.created_at,
        submitted_at=run.submitted_at,
        accepted_at=facts.at(RunAccepted),
        validated_at=facts.at(PhotosValidated),
        packaged_at=facts.at(DatasetSealed),
        training_started_at=facts.at(TrainingStarted),
        trained_at=facts.at(TrainingSucceeded),
        ended_at=end.at if end else None,
        seconds=round(seconds, 3) if seconds is not None else None,
    )
