"""Money outlives the run: what may still run at the provider is stopped and booked, whoever ended the run and when."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lifemask.bus.outcomes import Keep, Later, Outcome, Retryable, RunEnded, Turn
from lifemask.trainer.domain.attempt import (
    UNSETTLED,
    Adopt,
    Attempt,
    Book,
    End,
    KnownTraining,
    Spot,
    State,
    StopRun,
)
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.domain.training import END_STATES, Fate, Training, bill_of, choose
from lifemask.trainer.domain.watching import is_expired, is_settled, needs_listing, next_watch
from lifemask.trainer.handlers.messages import Watch, watch_again
from lifemask.trainer.ports import Attempts, Trainings

_GONE = "gone"
"""The end that is booked for a training of which the provider knows nothing any more."""


def stop_run(ended: RunEnded) -> Sequence[Later | Keep]:
    """Part of the transaction that ends a run here: from now on its attempts are the watcher's."""
    return [Keep(StopRun(ended.user_id, ended.run_id)), watch_again(ended.user_id, ended.run_id)]


async def watch(
    reminder: Watch, *, turn: Turn, attempts: Attempts, trainings: Trainings, policy: Policy
) -> Sequence[Outcome]:
    """Stops and books what nobody wants, again and again until nothing can come of the run's attempts any more."""
    found = await attempts.of_run(reminder.user_id, reminder.run_id)
    tries = reminder.tries + 1
    visits = []
    try:
        for attempt in found:
            visit = Visit(attempt)
            visits.append(visit)
            await _visit(visit, turn, trainings, policy)
    except Retryable:  # a dead letter would lose track of money: what was done so far is kept, the rest comes again
        after = policy.watches.delay(tries)
        return [*_outcomes(visits), watch_again(reminder.user_id, reminder.run_id, tries, after)]
    left = [each.attempt for each in visits]
    if all(is_settled(each, turn.got_at, policy.skew) for each in left):
        return _outcomes(visits)
    after = next_watch(left, turn.got_at, tries, policy.watches, policy.skew)
    return [*_outcomes(visits), watch_again(reminder.user_id, reminder.run_id, tries, after)]


@dataclass
class Visit:
    """One attempt under the watcher's eyes: as it is after the changes gathered so far."""

    attempt: Attempt
    changes: tuple[Keep, ...] = ()

    def spot(self, training: str) -> None:
        """A training of the attempt is known."""
        attempt = self.attempt
        if training in {each.id for each in attempt.trainings}:
            return
        adopts = attempt.training is None and attempt.state in UNSETTLED
        known = (*attempt.trainings, KnownTraining(training, booked=False))
        self.attempt = replace(attempt, trainings=known)
        if adopts:
            self.attempt = replace(self.attempt, training=training, state=State.RUNNING)
        self.changes += (Keep(Adopt(attempt.id, training) if adopts else Spot(attempt.id, training)),)

    def end(self, to: State) -> None:
        """The attempt is over without a training to book."""
        self.changes += (Keep(End(self.attempt.id, to)),)
        self.attempt = replace(self.attempt, state=to)

    def book(self, training: Training, policy: Policy, to: State) -> None:
        """A training is over and paid for."""
        attempt, bill = self.attempt, bill_of(training, policy.price)
        ends = training.id == attempt.training and attempt.state is State.RUNNING
        self.changes += (Keep(End(attempt.id, to, bill) if ends else Book(attempt.id, bill)),)
        known = tuple(replace(each, booked=each.booked or each.id == training.id) for each in attempt.trainings)
        self.attempt = replace(attempt, trainings=known, state=to if ends else attempt.state)


async def _visit(visit: Visit, turn: Turn, trainings: Trainings, policy: Policy) -> None:
    attempt, now = visit.attempt, turn.got_at
    if attempt.is_watched and attempt.state is State.INTENDED:
        return visit.end(State.CANCELED)
    listed = False
    if needs_listing(attempt, now, policy.skew):
        listing = await trainings.find(attempt.archive_path, attempt.intended_at - policy.skew)
        listed = True
        for match in sorted(listing.matches, key=lambda each: each is not choose(listing.matches)):
            visit.spot(match.id)
    for training in visit.attempt.unwanted:
        await _stop(visit, training, turn, trainings, policy)
    if listed and visit.attempt.state in UNSETTLED and is_expired(attempt, now, policy.skew):
        visit.end(State.ABANDONED)
    return None


async def _stop(visit: Visit, known: str, turn: Turn, trainings: Trainings, policy: Policy) -> None:
    training = await trainings.get(known)
    if training is not None and training.fate is Fate.OPEN:
        training = await trainings.cancel(known)
    if training is None and is_expired(visit.attempt, turn.got_at, policy.skew):
        visit.book(Training(known, _GONE), policy, State.CANCELED)
    elif training is not None and training.fate is not Fate.OPEN:
        visit.book(training, policy, END_STATES[training.fate])


def _outcomes(visits: Sequence[Visit]) -> list[Outcome]:
    return [change for visit in visits for change in visit.changes]
