"""The trainer's messages to itself, and the events that more than one handler returns."""

from datetime import timedelta
from typing import ClassVar, Final

from lifemask.bus.outcomes import Keep, Later, Reminder
from lifemask.contracts import Failure, RunFailed, RunId, Stage
from lifemask.contracts.trainings import TrainingId
from lifemask.trainer.domain.attempt import Attempt, AttemptId, Bill, Spot
from lifemask.trainer.domain.training import dollars

NOW: Final = timedelta(0)


class Look(Reminder):
    """Look at the attempt's training again. `tries` counts the looks before, `waits` those for a fetch's record."""

    ce_type: ClassVar[str] = "lifemask.trainer.look.v1"

    run_id: RunId
    attempt: int
    tries: int = 0
    waits: int = 0


class Reconcile(Reminder):
    """Look for a training of the attempt among all trainings of the provider."""

    ce_type: ClassVar[str] = "lifemask.trainer.reconcile.v1"

    run_id: RunId
    attempt: int
    tries: int = 0


class AdoptOrdered(Reminder):
    """An operator says which training is the attempt's. `order` is where the answer goes."""

    ce_type: ClassVar[str] = "lifemask.trainer.adopt-ordered.v1"

    run_id: RunId
    attempt: int
    training: TrainingId
    order: str


class AbandonOrdered(Reminder):
    """An operator says that the attempt has no training: it is left to the watcher, and the run is paid for again."""

    ce_type: ClassVar[str] = "lifemask.trainer.abandon-ordered.v1"

    run_id: RunId
    attempt: int
    order: str


class Watch(Reminder):
    """Stop and book what nobody wants any more. Travels in the control lane."""

    ce_type: ClassVar[str] = "lifemask.trainer.watch.v1"

    run_id: RunId
    tries: int = 0


class Forget(Reminder):
    """Delete what the run's trainings left at the provider. Travels in the control lane."""

    ce_type: ClassVar[str] = "lifemask.trainer.forget.v1"

    run_id: RunId
    tries: int = 0


def look_again(attempt: AttemptId, tries: int, after: timedelta, waits: int = 0) -> Later:
    return Later(Look(**attempt.run, attempt=attempt.number, tries=tries, waits=waits), after)


def reconcile_again(attempt: AttemptId, tries: int, after: timedelta) -> Later:
    return Later(Reconcile(**attempt.run, attempt=attempt.number, tries=tries), after)


def watch_again(user_id: str, run_id: str, tries: int = 0, after: timedelta = NOW) -> Later:
    return Later(Watch(user_id=user_id, run_id=run_id, tries=tries), after, control=True)


def failed(user_id: str, run_id: str, failure: Failure, bill: Bill | None = None) -> RunFailed:
    cost = dollars(bill.cost) if bill else None
    return RunFailed(user_id=user_id, run_id=run_id, stage=Stage.TRAIN, failure=failure, cost_usd=cost)


def late(attempt: Attempt, training: str) -> list[Keep | Later]:
    """What was heard of a training after its run's end, or its attempt's: nobody wants it, but it may cost money."""
    if training in {each.id for each in attempt.trainings}:
        return [*hand_over(attempt)]
    return [Keep(Spot(attempt.id, training)), watch_again(attempt.id.user_id, attempt.id.run_id)]


def hand_over(attempt: Attempt | None) -> list[Later]:
    """Whoever stopped an attempt has set the watcher on it; only what became known after its end needs a new one."""
    if attempt is None or not attempt.is_over or not attempt.unbooked:
        return []
    return [watch_again(attempt.id.user_id, attempt.id.run_id)]
