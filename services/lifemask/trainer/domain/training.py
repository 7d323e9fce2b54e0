"""What the provider says about a training, and what follows from it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final

from lifemask.trainer.domain.attempt import Bill, State

_PROGRESS: Final = re.compile(r"flux_train_replicate:\s*(\d{1,3})%\|[^|\r\n]*\|\s*(\d{1,9})/(\d{1,9})")
"""One bar of the trainer's log; bars follow each other after carriage returns."""
_RESETS: Final = re.compile(r"resets in ~?\s*(\d{1,6})")
_LONGEST_WAIT: Final = 600  # seconds; whoever asks for more is asked again
_CENTS: Final = Decimal("0.0001")


class Fate(StrEnum):
    """What became of a training."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    """Ended by somebody before its end, after or before it started."""


_FATES: Final = {
    "succeeded": Fate.SUCCEEDED,
    "failed": Fate.FAILED,
    "canceled": Fate.STOPPED,
    "aborted": Fate.STOPPED,
}
END_STATES: Final = {Fate.SUCCEEDED: State.SUCCEEDED, Fate.FAILED: State.FAILED, Fate.STOPPED: State.CANCELED}


@dataclass(frozen=True, slots=True)
class Progress:
    """Steps done of steps in all."""

    percent: int
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Training:
    """A training as the provider shows it. `status` may be a word that is not known yet; it then counts as open.

    `archive_path` is the path of the archive's URL, None when the provider no longer shows the input.
    `predict_seconds` is the billed time.
    """

    id: str
    status: str
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    archive_path: str | None = None
    progress: Progress | None = None
    weights_url: str | None = None
    version: str | None = None
    predict_seconds: Decimal | None = None

    @property
    def fate(self) -> Fate:
        return _FATES.get(self.status, Fate.OPEN)


@dataclass(frozen=True, slots=True)
class Listing:
    """Trainings whose archive path is the wanted one. `clean`: none of the others could have been it."""

    matches: tuple[Training, ...] = ()
    clean: bool = True


class Answer(StrEnum):
    """What an answer to the paid call means."""

    STARTED = "started"
    BUSY = "busy"
    DENIED = "denied"
    UNPAID = "unpaid"
    MISSING = "missing"
    INVALID = "invalid"
    UNSENT = "unsent"
    """No connection came about, so nothing was sent."""
    LOST = "lost"
    """It may have been accepted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the paid call; `training` with STARTED, `after` with BUSY when the provider named a delay."""

    answer: Answer
    training: Training | None = None
    after: timedelta | None = None


_REFUSALS: Final = {
    401: Answer.DENIED,
    403: Answer.DENIED,
    402: Answer.UNPAID,
    404: Answer.MISSING,
    429: Answer.BUSY,
    408: Answer.LOST,
}


def refusal(status: int, detail: str = "") -> Answer:
    """The meaning of an HTTP status other than success. Only a plain 4xx says for certain that nothing was made.

    A trainer version that is not there answers 422, like a bad input, and is told from it by the text alone.
    """
    if status in _REFUSALS:
        return _REFUSALS[status]
    if not 400 <= status < 500:
        return Answer.LOST
    return Answer.MISSING if "version does not exist" in detail else Answer.INVALID


def asked_delay(detail: str) -> timedelta | None:
    """How long a 429 asks us to wait: its text says `resets in ~30s`, and no header reaches us."""
    found = _RESETS.search(detail)
    return timedelta(seconds=min(int(found[1]), _LONGEST_WAIT)) if found else None


def read_progress(logs: str) -> Progress | None:
    """The last bar in the trainer's log; None before the first one."""
    found = _PROGRESS.findall(logs)
    if not found:
        return None
    percent, step, steps = map(int, found[-1])
    return Progress(min(percent, 100), step, steps) if steps else None


def choose(matches: Sequence[Training]) -> Training:
    """The training to adopt among several of one attempt: one that lives or succeeded, then the oldest."""
    return min(matches, key=lambda each: (each.fate in {Fate.FAILED, Fate.STOPPED}, _age(each), each.id))


def _age(training: Training) -> float:
    return training.created_at.timestamp() if training.created_at else float("inf")


def bill_of(training: Training, price: Decimal) -> Bill:
    """What an ended training costs at `price` dollars a second. One that never started costs nothing."""
    seconds = _billed(training)
    return Bill(training.id, training.status, seconds, (seconds * price).quantize(_CENTS, ROUND_HALF_UP))


def _billed(training: Training) -> Decimal:
    if training.predict_seconds is not None:
        return max(training.predict_seconds, Decimal(0))
    if training.started_at and training.completed_at:
        passed = (training.completed_at - training.started_at).total_seconds()
        return max(Decimal(str(passed)), Decimal(0))
    return Decimal(0)


def estimate(steps: int, seconds_per_step: Decimal, price: Decimal) -> Decimal:
    """Dollars that a training will cost: batches hold one image, so time grows with the steps alone."""
    return (steps * seconds_per_step * price).quantize(_CENTS, ROUND_HALF_UP)


def dollars(amount: Decimal) -> str:
    """The amount as events carry it."""
    return f"{amount:.4f}"
