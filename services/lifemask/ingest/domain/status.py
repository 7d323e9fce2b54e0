"""How far a run is: by the rank of its stages, and a terminal fact wins."""

from enum import StrEnum
from typing import Final

from lifemask.contracts import (
    DatasetSealed,
    FailureCode,
    ModelReady,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunCancelRequested,
    RunFailed,
    RunRejected,
    RunStalled,
    Stage,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.ingest.domain.facts import Facts
from lifemask.ingest.domain.runs import Run


class Status(StrEnum):
    """A run's status as shown."""

    DRAFT = "draft"
    ACCEPTED = "accepted"
    VALIDATING = "validating"
    PACKAGING = "packaging"
    TRAINING = "training"
    PUBLISHING = "publishing"
    READY = "ready"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELED = "canceled"


OVER: Final = frozenset({Status.READY, Status.REJECTED, Status.FAILED, Status.CANCELED})
ACTIVE: Final = frozenset({Status.ACCEPTED, Status.VALIDATING, Status.PACKAGING, Status.TRAINING, Status.PUBLISHING})

_STAGES: Final = {
    Status.DRAFT: Stage.REQUEST,
    Status.ACCEPTED: Stage.REQUEST,
    Status.VALIDATING: Stage.VALIDATE,
    Status.PACKAGING: Stage.PACKAGE,
    Status.TRAINING: Stage.TRAIN,
    Status.PUBLISHING: Stage.PUBLISH,
    Status.READY: Stage.NOTIFY,
    Status.REJECTED: Stage.VALIDATE,
}
_RANKS: Final = tuple(Stage)
_TRAINING: Final = (15, 90)
_PROGRESS: Final = {
    Status.DRAFT: 0,
    Status.ACCEPTED: 2,
    Status.VALIDATING: 5,
    Status.PACKAGING: 10,
    Status.TRAINING: _TRAINING[0],
    Status.PUBLISHING: 92,
}
"""Percent at the start of a status; the training, nearly all of the time, moves from 15 to 90."""

_OF_A_START: Final = frozenset(
    {FailureCode.TRAINING_UNKNOWN, FailureCode.TRAINING_UNSETTLED, FailureCode.PROVIDER_UNAVAILABLE}
)
"""Why a training that was not started, or may not have been, delays its run."""


def status_of(run: Run) -> Status:
    """What the run's status is."""
    match run.facts.end.event if run.facts.end else None:
        case None:
            return reached(run)
        case ModelReady():
            return Status.READY
        case RunRejected():
            return Status.REJECTED
        case RunFailed():
            return Status.FAILED
        case _:
            return Status.CANCELED


def is_cancel_too_late(run: Run) -> bool:
    """Whether a cancel was asked for and the run ended otherwise all the same."""
    return run.is_over and run.facts.has(RunCancelRequested) and status_of(run) is not Status.CANCELED


def reached(run: Run) -> Status:
    """How far the run came, whether or not it is over."""
    facts = run.facts
    if facts.has(TrainingSucceeded):
        return Status.PUBLISHING
    if facts.has(DatasetSealed, TrainingStarted, TrainingProgressed):
        return Status.TRAINING
    if facts.has(PhotosValidated):
        return Status.PACKAGING
    if facts.has(RunAccepted):
        return Status.VALIDATING
    return Status.ACCEPTED if run.submitted_at else Status.DRAFT


def stage_of(run: Run) -> Stage:
    """The step the run is in, or ended in."""
    match run.facts.end.event if run.facts.end else None:
        case RunFailed(stage=stage) | RunCanceled(stage=stage):
            return stage
        case RunRejected() if not run.facts.has(RunAccepted):
            return Stage.REQUEST
        case _:
            return _STAGES[status_of(run)]


def progress_of(run: Run) -> int:
    """0 to 100; a run that ended without a model keeps where it was."""
    status = status_of(run)
    if status is Status.READY:
        return 100
    status = reached(run)
    if status is not Status.TRAINING:
        return _PROGRESS[status]
    low, high = _TRAINING
    return low + percent(run.facts) * (high - low) // 100


def percent(facts: Facts) -> int:
    """How far the latest training attempt is, 0 to 100."""
    started = [event.attempt for event, _ in facts.of(TrainingStarted)]
    shown = facts.of(TrainingProgressed)
    latest = max([*started, *(event.attempt for event, _ in shown)], default=0)
    return next((event.percent for event, _ in shown if event.attempt == latest), 0)


def stall_of(run: Run) -> RunStalled | None:
    """The stall that delays the run: one of this stage or a later one; the run is past an earlier one.

    Whether a training was started is no question any more once one is known.
    """
    if run.is_over:
        return None
    rank = _RANKS.index(stage_of(run))
    settled = _OF_A_START if run.facts.has(TrainingStarted) else frozenset()
    stalls = [stall for stall, _ in run.facts.of(RunStalled) if stall.failure.code not in settled]
    return next((stall for stall in stalls if _RANKS.index(stall.stage) >= rank), None)
