"""Which attempt is meant, and what a new one asks for."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from lifemask.contracts import TrainingParameters
from lifemask.trainer.domain.attempt import Attempt, AttemptId, Plan, State
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.domain.training import estimate


def find_attempt(attempts: Sequence[Attempt], number: int) -> Attempt | None:
    """The attempt of this number."""
    return next((each for each in attempts if each.id.number == number), None)


def expiry(at: datetime, life: timedelta, number: int) -> datetime:
    """When an attempt's addresses expire, in whole seconds.

    Each attempt has another second, so that no two archive URLs are alike: by its path a training is recognised.
    """
    return at.replace(microsecond=0) + life + timedelta(seconds=number)


def new_attempt(
    id: AttemptId,
    *,
    dataset: str,
    archive_key: str,
    parameters: TrainingParameters,
    at: datetime,
    address: Callable[[str, datetime], str],
    policy: Policy,
) -> Attempt:
    """An intended attempt. Equal arguments give an equal attempt."""
    expires_at = expiry(at, policy.url_life, id.number)
    plan = Plan(
        trainer=policy.trainer,
        dataset=dataset,
        archive_key=archive_key,
        archive_url=address(archive_key, expires_at),
        url_expires_at=expires_at,
        steps=parameters.steps,
        rank=parameters.rank,
        learning_rate=parameters.learning_rate,
        estimated_cost=estimate(parameters.steps, policy.seconds_per_step, policy.price),
    )
    return Attempt(id, State.INTENDED, plan, intended_at=at)
