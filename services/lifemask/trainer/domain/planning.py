"""Which attempt is meant, and what a new one asks for."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from lifemask.contracts import DatasetSealed, TrainingParameters
from lifemask.trainer.domain.attempt import ArchiveAddress, Attempt, AttemptId, Plan, State
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.domain.training import Fate, estimate


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
    event: DatasetSealed,
    at: datetime,
    seen_at: datetime,
    address: ArchiveAddress,
    expires_at: datetime,
    policy: Policy,
) -> Attempt:
    """An intended attempt. Equal arguments give an equal attempt."""
    plan = Plan(
        trainer=policy.trainer,
        dataset=dataset,
        archive_key=archive_key,
        archive_url=address.url,
        url_expires_at=expires_at,
        gateway=address.gateway,
        steps=event.parameters.steps,
        rank=event.parameters.rank,
        learning_rate=event.parameters.learning_rate,
        estimated_cost=estimate(event.parameters.steps, policy.seconds_per_step, policy.price),
        photos=event.photos,
        archive_bytes=event.bytes,
        seen_at=seen_at,
    )
    return Attempt(id, State.INTENDED, plan, intended_at=at)


def dataset_of(attempt: Attempt) -> DatasetSealed:
    """The dataset's event as it brought the run, for proving the same again."""
    plan = attempt.plan
    return DatasetSealed(
        user_id=attempt.id.user_id,
        run_id=attempt.id.run_id,
        statement=plan.dataset,
        photos=plan.photos,
        bytes=plan.archive_bytes,
        parameters=TrainingParameters(steps=plan.steps, rank=plan.rank, learning_rate=plan.learning_rate),
    )


def waits_for_record(attempt: Attempt, fate: Fate, policy: Policy) -> int:
    """How often an ended training is looked at again, because a record of its archive's fetch is still to come.

    A success without one was made from something else. A failure without one may be due to our own gateway, which
    then has it on record that it withheld the archive.
    """
    if not attempt.plan.gateway or attempt.fetches:
        return 0
    return {Fate.SUCCEEDED: policy.records, Fate.FAILED: policy.failure_records}.get(fate, 0)
