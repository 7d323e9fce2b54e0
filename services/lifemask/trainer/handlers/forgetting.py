"""A revoked model is deleted at the provider as well, for as long as that may take."""

from collections.abc import Sequence
from datetime import timedelta

from lifemask.bus.outcomes import Keep, Later, Outcome, Retryable
from lifemask.contracts import ModelRevoked
from lifemask.trainer.domain.attempt import Attempt, Forgotten
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.handlers.messages import NOW, Forget
from lifemask.trainer.ports import Attempts, Trainings


async def hear_revocation(event: ModelRevoked) -> Sequence[Outcome]:
    """The deletion is a message of its own: a provider that is away must not hold up the person's other runs."""
    return [_forget(Forget(**event.run), NOW)]


async def forget(reminder: Forget, *, attempts: Attempts, trainings: Trainings, policy: Policy) -> Sequence[Outcome]:
    """Every version that the run's ended trainings left. What still runs is the watcher's and leaves none."""
    try:
        for attempt in await attempts.of_run(reminder.user_id, reminder.run_id):
            for version in await _versions(attempt, trainings):
                await trainings.delete_version(version)
    except Retryable:  # a dead letter would leave a revoked model at the provider
        tries = reminder.tries + 1
        return [_forget(reminder.model_copy(update={"tries": tries}), policy.watches.delay(tries))]
    return [Keep(Forgotten(reminder.user_id, reminder.run_id))]


async def _versions(attempt: Attempt, trainings: Trainings) -> Sequence[str]:
    """The one in the row; for trainings that ended otherwise what the provider still knows of theirs."""
    found = [attempt.version]
    for known in attempt.trainings:
        if known.id != attempt.training or attempt.version is None:
            training = await trainings.get(known.id)
            found.append(training.version if training else None)
    return [version for version in found if version]


def _forget(reminder: Forget, after: timedelta) -> Later:
    return Later(reminder, after, control=True)
