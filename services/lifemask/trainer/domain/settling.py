"""What follows while the outcome of a paid call stays unknown: decisions only."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from lifemask.trainer.domain.attempt import UNSETTLED, Attempt
from lifemask.trainer.domain.policy import Policy


class Step(StrEnum):
    """What to do after a listing that shows no training of the attempt."""

    LOOK_AGAIN = "look_again"
    PAY_AGAIN = "pay_again"
    ASK = "ask"
    """An operator, once."""


def next_step(attempt: Attempt, known: Sequence[Attempt], at: datetime, policy: Policy, *, clean: bool) -> Step:
    """`at` is before the listing began, `known` all attempts of the run; `clean`: the listing was complete."""
    sure = clean and attempt.clean_since is not None and at - attempt.clean_since >= policy.apart
    if sure and why_not_again(attempt, known, policy) is None:
        return Step.PAY_AGAIN
    late = at - (attempt.doubted_at or attempt.intended_at) >= policy.patience
    return Step.ASK if (sure or late) and not attempt.asked else Step.LOOK_AGAIN


def why_not_again(attempt: Attempt, known: Sequence[Attempt], policy: Policy) -> str | None:
    """Why the run is not paid for again by itself, however sure it is that there is no training."""
    if attempt.fetches:
        return "no training is listed, but its archive was fetched"
    if not attempt.plan.gateway:
        return "no training is listed, but with presigned archives two attempts could not be told apart"
    if sum(not each.made_nothing for each in known) >= policy.creates:
        return f"no training is listed after {policy.creates} paid attempts"
    return None


def undecided(attempt: Attempt, known: Sequence[Attempt], policy: Policy) -> str:
    """What an operator is asked to settle, and how."""
    run = attempt.id.run_id
    why = why_not_again(attempt, known, policy) or "the listings do not show whether its training was started"
    return f"{why}; settle it: lifemask training adopt {run} TRAINING, or lifemask training abandon {run}"


def unsettled(known: Sequence[Attempt]) -> Attempt | None:
    """The attempt whose outcome is unknown, if the run waits for it."""
    last = known[-1] if known else None
    return last if last is not None and last.state in UNSETTLED and not last.is_watched else None
