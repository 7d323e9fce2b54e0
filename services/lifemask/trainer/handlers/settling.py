"""A paid call whose answer was lost: looked for, adopted, paid again only when it is certain that it made nothing."""

from collections.abc import Sequence

from lifemask.bus.outcomes import Keep, Outcome, Retryable, Turn
from lifemask.contracts import Failure, FailureCode, RunStalled, Stage
from lifemask.trainer.domain.attempt import Answered, Ask, Attempt, Doubt, ListedClean, State
from lifemask.trainer.domain.planning import dataset_of, find_attempt
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.domain.settling import Step, next_step, undecided, unsettled
from lifemask.trainer.domain.training import Listing
from lifemask.trainer.handlers.messages import NOW, AbandonOrdered, AdoptOrdered, Reconcile, failed, reconcile_again
from lifemask.trainer.handlers.starting import adopt_one, pay
from lifemask.trainer.ports import Addresses, Attempts, Chain, Trainings


async def reconcile(
    reminder: Reconcile,
    *,
    turn: Turn,
    attempts: Attempts,
    chain: Chain,
    trainings: Trainings,
    addresses: Addresses,
    policy: Policy,
) -> Sequence[Outcome]:
    """Looks for the training of a lost answer. Two complete listings without it, far enough apart, and it is paid
    again, as another attempt; what stays undecided is an operator's. Meanwhile the run is delayed.
    """
    known = await attempts.of_run(reminder.user_id, reminder.run_id)
    attempt = find_attempt(known, reminder.attempt)
    if attempt is None or attempt.stop:
        return []
    tries = reminder.tries + 1
    delay = policy.reconciles.delay(tries)
    try:
        if unsettled(known) is attempt:
            listing = await _list(attempt, trainings, policy)
            if listing.matches:
                return adopt_one(attempt, listing.matches)
            step = next_step(attempt, known, turn.got_at, policy, clean=listing.clean)
            if step is not Step.PAY_AGAIN:
                again = reconcile_again(attempt.id, tries, delay)
                return [*_noted(attempt, known, step, policy, clean=listing.clean), again]
        return await _go_on(
            attempt, known, turn=turn, chain=chain, trainings=trainings, addresses=addresses, policy=policy
        )
    except (
        Retryable
    ) as problem:  # waiting in the lane would hold up the person's other messages, and end as a dead letter
        return [reconcile_again(attempt.id, tries, max(delay, problem.after or NOW))]


async def _list(attempt: Attempt, trainings: Trainings, policy: Policy) -> Listing:
    """A provider that is away proves nothing."""
    try:
        return await trainings.find(attempt.archive_path, attempt.intended_at - policy.skew)
    except Retryable:
        return Listing(clean=False)


def _noted(attempt: Attempt, known: Sequence[Attempt], step: Step, policy: Policy, *, clean: bool) -> list[Outcome]:
    """What a listing without a match leaves behind: the run is told of the delay once, and the operator once."""
    noted: list[Outcome] = [Keep(ListedClean(attempt.id))] if clean else []
    if step is Step.ASK:
        why = undecided(attempt, known, policy)
        return [*noted, Keep(Ask(attempt.id, why)), _stalled(attempt, FailureCode.TRAINING_UNSETTLED)]
    if clean and not attempt.clean_listings:
        noted.append(_stalled(attempt, FailureCode.TRAINING_UNKNOWN))
    return noted


async def _go_on(
    attempt: Attempt,
    known: Sequence[Attempt],
    *,
    turn: Turn,
    chain: Chain,
    trainings: Trainings,
    addresses: Addresses,
    policy: Policy,
) -> Sequence[Outcome]:
    """Pays again: with a new attempt, or with the one that was left waiting when this was tried before."""
    last = known[-1]
    if last.state is State.CREATING:  # a worker ended inside the paid call
        return [Keep(Doubt(last.id)), reconcile_again(last.id, 0, NOW)]
    if last.state is not State.INTENDED and (last.state is not State.UNKNOWN or last is not attempt):
        return []  # it is known, or unknown and has a search of its own
    return await pay(
        dataset_of(last),
        last,
        last.plan.seen_at,
        turn=turn,
        chain=chain,
        trainings=trainings,
        addresses=addresses,
        policy=policy,
    )


async def adopt_ordered(order: AdoptOrdered, *, attempts: Attempts, trainings: Trainings) -> Sequence[Outcome]:
    """An operator names the training. That it is one of the attempt's archive is the provider's word, not theirs."""
    attempt = unsettled(await attempts.of_run(order.user_id, order.run_id))
    if attempt is None or attempt.id.number != order.attempt:
        return [_refused(order.order, "no outcome of this run is unknown any more")]
    try:
        training = await trainings.get(order.training)
    except Retryable:
        return [_refused(order.order, "the provider does not answer now")]
    if training is None:
        return [_refused(order.order, "the provider knows no such training")]
    if training.archive_path is None:
        return [_refused(order.order, "the provider no longer shows what it was trained on, so it proves nothing")]
    if training.archive_path != attempt.archive_path:
        return [_refused(order.order, "it trains on another archive")]
    return [Keep(Answered(order.order, "adopted")), *adopt_one(attempt, [training])]


async def abandon_ordered(
    order: AbandonOrdered,
    *,
    turn: Turn,
    attempts: Attempts,
    chain: Chain,
    trainings: Trainings,
    addresses: Addresses,
    policy: Policy,
) -> Sequence[Outcome]:
    """An operator says that there is no training: the attempt is the watcher's, and the run is paid for again.

    Where a second attempt could not be told from the first, the run fails instead.
    """
    known = await attempts.of_run(order.user_id, order.run_id)
    attempt = find_attempt(known, order.attempt)
    if attempt is None or attempt.stop or attempt.state not in {State.UNKNOWN, State.ABANDONED}:
        return [_refused(order.order, "no outcome of this run is unknown any more")]
    if not attempt.plan.gateway:
        lost = Failure.of(FailureCode.TRAINING_UNSETTLED)
        return [Keep(Answered(order.order, "run_failed")), failed(order.user_id, order.run_id, lost)]
    answered = Keep(Answered(order.order, "abandoned"))
    try:
        paid = await _go_on(
            attempt, known, turn=turn, chain=chain, trainings=trainings, addresses=addresses, policy=policy
        )
    except Retryable as problem:
        return [answered, reconcile_again(attempt.id, 0, max(policy.reconciles.delay(0), problem.after or NOW))]
    return [answered, *paid]


def _refused(order: str, why: str) -> Keep:
    return Keep(Answered(order, f"refused: {why}"))


def _stalled(attempt: Attempt, code: FailureCode) -> RunStalled:
    return RunStalled(**attempt.id.run, stage=Stage.TRAIN, failure=Failure.of(code))
