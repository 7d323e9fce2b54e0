"""From a running training to weights in our store. A callback is a hint; the truth is read from the provider."""

from collections.abc import Sequence
from typing import Final

from lifemask.bus.outcomes import Keep, Later, Outcome, Retryable, Turn
from lifemask.contracts import Failure, FailureCode, TrainingCallbackReceived, TrainingProgressed, TrainingSucceeded
from lifemask.trainer.domain.attempt import UNSETTLED, Advance, Attempt, Bill, CloseCount, CopyFailed, End, Spot, State
from lifemask.trainer.domain.planning import find_attempt, waits_for_record
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.domain.training import END_STATES, Fate, Training, bill_of, dollars
from lifemask.trainer.domain.weights import Copied
from lifemask.trainer.handlers.messages import Look, failed, hand_over, late, look_again, watch_again
from lifemask.trainer.handlers.starting import adopt_one
from lifemask.trainer.ports import Addresses, Attempts, Chain, Trainings, Weights

_NOT_OURS: Final = "training: of another archive"
"""Whatever our row says: what the provider was told names the archive, in a token that only we can make."""
_NOT_SHOWN: Final = "training: its archive is not shown"
"""The provider forgets input and output together: weights without their archive are not proven to be ours."""
_NOT_FETCHED: Final = "archive: no fetch of it is on record"
"""The link of the chain that a success without a fetch breaks."""
_FAILURES: Final = {Fate.FAILED: FailureCode.TRAINING_FAILED, Fate.STOPPED: FailureCode.TRAINING_ABORTED}


async def look(
    reminder: Look,
    *,
    turn: Turn,
    attempts: Attempts,
    trainings: Trainings,
    addresses: Addresses,
    weights: Weights,
    chain: Chain,
    policy: Policy,
) -> Sequence[Outcome]:
    """Reads a running training: progress, or its end."""
    attempt = find_attempt(await attempts.of_run(reminder.user_id, reminder.run_id), reminder.attempt)
    if attempt is None or attempt.training is None or attempt.state is not State.RUNNING or attempt.is_watched:
        return hand_over(attempt)
    tries = reminder.tries + 1
    again = look_again(attempt.id, tries, policy.looks.delay(tries))
    refetch = look_again(attempt.id, tries, policy.reconciles.delay(attempt.copy_failures))
    try:
        training = await trainings.get(attempt.training)
    except Retryable:
        return [again]  # waiting in the lane would hold up the person's other messages, and end as a dead letter
    if training is None or training.fate is Fate.OPEN:
        return [*_progress(attempt, training), again]
    if reminder.waits < waits_for_record(attempt, training.fate, policy):
        return [look_again(attempt.id, tries, policy.reconciles.delay(reminder.waits), reminder.waits + 1)]
    return await _finish(
        attempt, training, [refetch], turn=turn, addresses=addresses, weights=weights, chain=chain, policy=policy
    )


async def hear_callback(
    event: TrainingCallbackReceived,
    *,
    turn: Turn,
    attempts: Attempts,
    trainings: Trainings,
    addresses: Addresses,
    weights: Weights,
    chain: Chain,
    policy: Policy,
) -> Sequence[Outcome]:
    """Looks at once; also the second way to the training of a lost answer. Anybody's other training is ignored."""
    attempt = find_attempt(await attempts.of_run(event.user_id, event.run_id), event.attempt)
    if attempt is None:
        return []
    if (attempt.is_over or attempt.is_watched) and event.training in {each.id for each in attempt.trainings}:
        return late(attempt, event.training)
    try:
        training = await trainings.get(event.training)
    except Retryable:
        if attempt.training is None:
            raise
        return []  # only a hint: the next look comes anyway
    if training is None or (training.id != attempt.training and training.archive_path != attempt.archive_path):
        return []
    if attempt.state in UNSETTLED and not attempt.is_watched:
        return adopt_one(attempt, [training])
    if attempt.is_over or attempt.is_watched:
        return late(attempt, training.id)
    if training.id != attempt.training:
        return [Keep(Spot(attempt.id, training.id)), watch_again(attempt.id.user_id, attempt.id.run_id)]
    if training.fate is Fate.OPEN or waits_for_record(attempt, training.fate, policy):
        return []  # the next look comes anyway
    return await _finish(
        attempt, training, [], turn=turn, addresses=addresses, weights=weights, chain=chain, policy=policy
    )


def _progress(attempt: Attempt, training: Training | None) -> list[Outcome]:
    seen = training.progress if training else None
    if seen is None or seen.percent <= attempt.percent:
        return []
    event = TrainingProgressed(
        user_id=attempt.id.user_id,
        run_id=attempt.id.run_id,
        attempt=attempt.id.number,
        percent=seen.percent,
        step=seen.step,
        steps=seen.steps,
    )
    return [Keep(Advance(attempt.id, seen.percent)), event]


async def _finish(
    attempt: Attempt,
    training: Training,
    again: Sequence[Later],
    *,
    turn: Turn,
    addresses: Addresses,
    weights: Weights,
    chain: Chain,
    policy: Policy,
) -> Sequence[Outcome]:
    """An ended training is booked; the weights of a succeeded one are copied out first, because they vanish."""
    mine, shown = attempt.id, training.archive_path
    if shown is not None and not addresses.leads_to(shown, mine, gateway=attempt.plan.gateway):
        # somebody else's training: nothing of its cost is ours
        broken = Failure.of(FailureCode.CUSTODY_BROKEN, link=_NOT_OURS)
        return [Keep(End(mine, State.FAILED)), failed(mine.user_id, mine.run_id, broken)]
    bill = bill_of(training, policy.price)
    if training.fate is not Fate.SUCCEEDED:
        return _lost(attempt, training, bill, Failure.of(_FAILURES[training.fate]))
    if shown is None and training.weights_url is not None:
        return _lost(attempt, training, bill, Failure.of(FailureCode.CUSTODY_BROKEN, link=_NOT_SHOWN))
    if attempt.plan.gateway and not attempt.fetches:
        return _lost(attempt, training, bill, Failure.of(FailureCode.CUSTODY_BROKEN, link=_NOT_FETCHED))
    await turn.check()
    try:
        copied = await weights.copy_out(training.weights_url, attempt.id)
    except Retryable as problem:
        if problem.code is not FailureCode.PROVIDER_UNAVAILABLE:
            raise
        if attempt.copy_failures + 1 < policy.copies:
            return [Keep(CopyFailed(attempt.id)), *again]
        copied = Failure.of(FailureCode.WEIGHTS_UNAVAILABLE)
    if isinstance(copied, Failure):
        return _lost(attempt, training, bill, copied)
    await turn.commit(Keep(CloseCount(attempt.id)))  # sealed again after a crash, the statement says the same
    at = training.completed_at or turn.got_at
    statement = await chain.seal_weights(attempt, training, copied, at, seen=turn.got_at)
    if isinstance(statement, Failure):
        return _lost(attempt, training, bill, statement)
    ended = Keep(End(attempt.id, State.SUCCEEDED, bill, training.version))
    return [ended, _succeeded(attempt, copied, bill, statement)]


def _lost(attempt: Attempt, training: Training, bill: Bill, failure: Failure) -> list[Outcome]:
    state = END_STATES[training.fate] if training.fate is not Fate.SUCCEEDED else State.FAILED
    return [Keep(End(attempt.id, state, bill)), failed(attempt.id.user_id, attempt.id.run_id, failure, bill)]


def _succeeded(attempt: Attempt, copied: Copied, bill: Bill, statement: str) -> TrainingSucceeded:
    return TrainingSucceeded(
        user_id=attempt.id.user_id,
        run_id=attempt.id.run_id,
        statement=statement,
        attempt=attempt.id.number,
        training=bill.training,
        bytes=copied.bytes,
        seconds=int(bill.seconds),
        cost_usd=dollars(bill.cost),
    )
