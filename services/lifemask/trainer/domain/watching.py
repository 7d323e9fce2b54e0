"""What the watcher does about an attempt that nobody wants any more: decisions only."""

from datetime import datetime, timedelta

from lifemask.trainer.domain.attempt import OVER, UNSETTLED, Attempt
from lifemask.trainer.domain.policy import Pace


def needs_listing(attempt: Attempt, now: datetime, skew: timedelta) -> bool:
    """Whether to look for trainings of the attempt among all of the provider.

    While its outcome is unknown, and a last time when no training of it can start any more.
    """
    if not attempt.is_watched or attempt.made_nothing:
        return False
    return not attempt.trainings or attempt.state in UNSETTLED or is_expired(attempt, now, skew)


def is_expired(attempt: Attempt, now: datetime, skew: timedelta) -> bool:
    """Whether a training that starts now could no longer fetch the archive, by any clock."""
    return now > attempt.plan.url_expires_at + skew


def is_settled(attempt: Attempt, now: datetime, skew: timedelta) -> bool:
    """Whether nothing can come of the attempt any more, given that a listing just now found nothing new."""
    if attempt.unwanted:
        return False
    if not attempt.is_watched or attempt.made_nothing:
        return True
    return attempt.state in OVER and is_expired(attempt, now, skew)


def next_watch(attempts: list[Attempt], now: datetime, tries: int, pace: Pace, skew: timedelta) -> timedelta:
    """How long until the next watch: soon while something may run, else when the last archive URL has expired."""
    watched = [each for each in attempts if each.is_watched]
    if any(each.unwanted for each in attempts) or any(_is_open(each, now, skew) for each in watched):
        return pace.delay(tries)
    left = max((each.plan.url_expires_at + skew - now for each in watched), default=timedelta(0))
    return max(left + timedelta(seconds=1), pace.first)


def _is_open(attempt: Attempt, now: datetime, skew: timedelta) -> bool:
    """Whether a training of it may still show up: then it must be seen while the provider shows its input."""
    if attempt.state not in OVER:
        return True
    return not attempt.made_nothing and not attempt.trainings and not is_expired(attempt, now, skew)
