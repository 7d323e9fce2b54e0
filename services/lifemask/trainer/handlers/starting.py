"""From a sealed dataset to one paid call; `settling.py` tells what happens when its answer is lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from lifemask.bus.outcomes import Keep, Later, Misconfigured, Outcome, Retryable, Turn
from lifemask.contracts import DatasetSealed, Failure, FailureCode, TrainingStarted
from lifemask.trainer.domain.attempt import (
    Abandon,
    Adopt,
    Attempt,
    AttemptId,
    Claim,
    Doubt,
    End,
    Intend,
    Spot,
    State,
    Withdraw,
)
from lifemask.trainer.domain.planning import expiry, new_attempt
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.domain.training import Answer, Reply, Training, choose, dollars
from lifemask.trainer.handlers.messages import (
    NOW,
    failed,
    look_again,
    reconcile_again,
    watch_again,
)
from lifemask.trainer.ports import Addresses, Attempts, Chain, Dataset, Order, Trainings

PROVIDER: Final = "replicate"
_CHANGED: Final = "training: attempt differs from what was sealed"
_TO_REPAIR: Final = {
    Answer.DENIED: "the provider refuses the token: set REPLICATE_API_TOKEN to one that may create trainings",
    Answer.UNPAID: "the provider wants to be paid: add a means of payment to the account",
    Answer.MISSING: "the provider does not know the trainer version or the destination: check "
    "LIFEMASK_REPLICATE_TRAINER, LIFEMASK_REPLICATE_TRAINER_VERSION and LIFEMASK_REPLICATE_DESTINATION",
}


async def start_training(
    event: DatasetSealed,
    *,
    turn: Turn,
    attempts: Attempts,
    chain: Chain,
    trainings: Trainings,
    addresses: Addresses,
    policy: Policy,
) -> Sequence[Outcome]:
    """Proves the dataset on its bytes, commits to one attempt, and only then makes its one paid call."""
    known = await attempts.of_run(event.user_id, event.run_id)
    last = known[-1] if known else None
    if last is not None and last.state is State.CREATING:  # a worker ended inside the paid call
        return [Keep(Doubt(last.id)), reconcile_again(last.id, 0, NOW)]
    if last is not None and last.state is not State.INTENDED:
        return []
    return await pay(
        event, last, turn.got_at, turn=turn, chain=chain, trainings=trainings, addresses=addresses, policy=policy
    )


async def pay(
    event: DatasetSealed,
    last: Attempt | None,
    seen_at: datetime,
    *,
    turn: Turn,
    chain: Chain,
    trainings: Trainings,
    addresses: Addresses,
    policy: Policy,
) -> Sequence[Outcome]:
    """Through the gate, then the paid call of one attempt: of `last` when it waits for it, else of a new one.

    `seen_at` is when the dataset's event came. An attempt whose outcome is unknown is left to the watcher.
    """
    dataset = await chain.prove(event, seen_at)
    if isinstance(dataset, Failure):
        return [failed(event.user_id, event.run_id, dataset)]
    await trainings.prepare()
    attempt = await _intend(event, dataset, last, seen_at, turn=turn, addresses=addresses, policy=policy)
    if isinstance(attempt, Failure):
        return [failed(event.user_id, event.run_id, attempt)]
    is_new = last is None or attempt.id != last.id
    forgotten = is_new and await chain.has_training(attempt.id)
    statement = await chain.seal_training(attempt, dataset, seen_at)
    if isinstance(statement, Failure):
        return [failed(event.user_id, event.run_id, statement)]
    order = _order(attempt, dataset, addresses)
    await turn.commit(Keep(Claim(attempt.id, statement)))
    if forgotten:  # it may have been paid for by a row that is gone: only the provider can tell
        return [Keep(Doubt(attempt.id)), reconcile_again(attempt.id, 0, NOW)]
    return await _after(await trainings.create(order), attempt, turn, policy)


async def _intend(
    event: DatasetSealed,
    dataset: Dataset,
    last: Attempt | None,
    seen_at: datetime,
    *,
    turn: Turn,
    addresses: Addresses,
    policy: Policy,
) -> Attempt | Failure:
    """The attempt to pay for: the one that waits, or a new one when there is none or it was planned otherwise.

    Planned anew from what was proven: the row says which attempt it is, not what is asked of the provider.
    """

    async def planned(number: int) -> Attempt:
        mine = AttemptId(event.user_id, event.run_id, number)
        expires_at = expiry(turn.got_at, policy.url_life, number)
        return new_attempt(
            mine,
            dataset=dataset.statement,
            archive_key=dataset.archive_key,
            event=event,
            at=turn.got_at,
            seen_at=seen_at,
            address=await addresses.archive(mine, dataset, expires_at),
            expires_at=expires_at,
            policy=policy,
        )

    if last is not None:
        again = await planned(last.id.number)
        is_mine = addresses.leads_to(last.archive_path, last.id, gateway=last.plan.gateway)
        if not again.asks_the_same(last) or not is_mine:
            return Failure.of(FailureCode.CUSTODY_BROKEN, link=_CHANGED)
        if last.state is State.INTENDED and again.is_planned_as(last):
            return again
    attempt = await planned(last.id.number + 1 if last else 1)
    await turn.commit(*_replaced(last), Keep(Intend(attempt.id, attempt.plan)))
    return attempt


def _replaced(last: Attempt | None) -> list[Keep | Later]:
    """What becomes of the attempt before: it made nothing, or it is watched, because it may have made something."""
    if last is None:
        return []
    if last.state is State.INTENDED:
        return [Keep(End(last.id, State.CANCELED))]
    return [Keep(Abandon(last.id)), watch_again(last.id.user_id, last.id.run_id)]


def _order(attempt: Attempt, dataset: Dataset, addresses: Addresses) -> Order:
    plan = attempt.plan
    return Order(
        trainer=plan.trainer,
        archive_url=plan.archive_url,
        trigger_word=dataset.trigger_word,
        steps=plan.steps,
        rank=plan.rank,
        learning_rate=plan.learning_rate,
        webhook=addresses.callback(attempt.id, plan.url_expires_at),
    )


async def _after(reply: Reply, attempt: Attempt, turn: Turn, policy: Policy) -> Sequence[Outcome]:
    """What the answer to the paid call means. Whatever is not certain is unknown, and looked for."""
    mine = attempt.id
    if reply.answer is Answer.STARTED and reply.training is not None:
        return adopt_one(attempt, [reply.training], policy.looks.delay(0))
    if reply.answer in {Answer.STARTED, Answer.LOST}:
        return [Keep(Doubt(mine)), reconcile_again(mine, 0, policy.reconciles.delay(0))]
    if reply.answer is Answer.INVALID:
        refused = failed(mine.user_id, mine.run_id, Failure.of(FailureCode.TRAINING_REFUSED))
        return [Keep(End(mine, State.FAILED)), refused]
    await turn.commit(Keep(Withdraw(mine)))
    if reply.answer is Answer.BUSY:
        raise Retryable(FailureCode.PROVIDER_BUSY, after=reply.after, counts=False)
    if reply.answer is Answer.UNSENT:
        raise Retryable(FailureCode.PROVIDER_UNAVAILABLE)
    raise Misconfigured(FailureCode.PROVIDER_DENIED, _TO_REPAIR[reply.answer])


def adopt_one(attempt: Attempt, matches: Sequence[Training], after: timedelta = NOW) -> list[Outcome]:
    """The attempt's training is known; further ones of it are stopped and booked."""
    training = choose(matches)
    extra = [Keep(Spot(attempt.id, each.id)) for each in matches if each.id != training.id]
    started = TrainingStarted(
        user_id=attempt.id.user_id,
        run_id=attempt.id.run_id,
        attempt=attempt.id.number,
        training=training.id,
        provider=PROVIDER,
        estimated_cost_usd=dollars(attempt.plan.estimated_cost),
    )
    watch = [watch_again(attempt.id.user_id, attempt.id.run_id)] if extra else []
    return [Keep(Adopt(attempt.id, training.id)), *extra, started, look_again(attempt.id, 0, after), *watch]
