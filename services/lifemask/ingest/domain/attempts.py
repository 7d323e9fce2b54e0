"""What was tried for a run and what came of it: stage by stage, with codes and categories."""

from lifemask.contracts import (
    Category,
    NotificationDelivered,
    RunAccepted,
    RunFailed,
    RunRejected,
    RunStalled,
    Stage,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.ingest.domain.facts import Facts
from lifemask.ingest.domain.photos import Shown


class Attempt(Shown):
    """One thing that was tried. `number` counts attempts at a training, and tries of a notification."""

    stage: Stage
    number: int = 1
    result: str
    """`started`, `succeeded`, `stalled`, `rejected`, `failed`; of a notification `delivered`, `skipped`, `gave_up`."""
    code: str | None = None
    """A code of the failure catalogue."""
    category: Category | None = None
    channel: str | None = None
    """Of a notification: `email` or `webhook`."""


def attempts_of(facts: Facts) -> tuple[Attempt, ...]:
    """Trainings, stalls, the failure, notifications; in that order."""
    return (*_trainings(facts), *_stalls(facts), *_failure(facts), *_notifications(facts))


def _trainings(facts: Facts) -> tuple[Attempt, ...]:
    succeeded = facts.one(TrainingSucceeded)
    won = succeeded.attempt if succeeded else 0
    numbers = {event.attempt for event, _ in facts.of(TrainingStarted)} | ({won} if won else set())
    return tuple(
        Attempt(stage=Stage.TRAIN, number=number, result="succeeded" if number == won else "started")
        for number in sorted(numbers)
    )


def _stalls(facts: Facts) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(stage=stall.stage, result="stalled", code=stall.failure.code, category=stall.failure.category)
        for stall, _ in facts.of(RunStalled)
    )


def _failure(facts: Facts) -> tuple[Attempt, ...]:
    match facts.end.event if facts.end else None:
        case RunFailed(stage=stage, failure=failure):
            return (Attempt(stage=stage, result="failed", code=failure.code, category=failure.category),)
        case RunRejected(failure=failure):
            stage = Stage.VALIDATE if facts.has(RunAccepted) else Stage.REQUEST
            return (Attempt(stage=stage, result="rejected", code=failure.code, category=failure.category),)
        case _:
            return ()


def _notifications(facts: Facts) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(stage=Stage.NOTIFY, number=told.tries, result=told.result, channel=told.channel)
        for told, _ in facts.of(NotificationDelivered)
    )
