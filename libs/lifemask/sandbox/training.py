"""One training and its timeline: what it is at any moment follows from what is recorded, never from a timer.

So a restart in the middle loses nothing: the training went on meanwhile, as at a provider that is not ours.
All times are seconds since the epoch; all durations are seconds.
"""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

Status = Literal["starting", "processing", "succeeded", "failed", "canceled", "aborted"]
TERMINAL: frozenset[Status] = frozenset({"succeeded", "failed", "canceled", "aborted"})

USD_PER_SECOND = Decimal("0.001525")  # one H100 by Replicate's price list
SECONDS_PER_STEP = 0.682  # measured there: 20 images x 1000 steps took 11 min 22 s on one H100
DEFAULT_STEPS = 1000
DEFAULT_RANK = 16


class Member(BaseModel):
    """One file of the archive as the trainer found it."""

    name: str
    bytes: int
    sha256: str


class Archive(BaseModel):
    """What the trainer fetched. `captions` maps an image's stem to the text of its own .txt, "" when it had none."""

    fetched_at: float
    bytes: int
    sha256: str
    members: list[Member]
    captions: dict[str, str]


class Trouble(BaseModel):
    """How this training was told to misbehave when it was created."""

    error: str | None = None
    foreign_weights: bool = False


class Callback(BaseModel):
    """The terminal webhook's fate: one id over all tries."""

    id: str
    first_try_at: float | None = None
    settled: bool = False


class Training(BaseModel):
    """What is recorded of a training. `number` grows with each creation and orders the listing."""

    id: str
    number: int
    model: str
    version: str
    destination: str
    input: dict[str, Any]
    webhook: str | None = None
    events: list[str] = Field(default_factory=list)
    created_at: float
    queue_seconds: float
    seconds: float
    trouble: Trouble = Trouble()
    archive: Archive | None = None
    refused: str | None = None
    refused_at: float | None = None
    canceled_at: float | None = None
    callback: Callback

    @property
    def steps(self) -> int:
        return int(self.input.get("steps", DEFAULT_STEPS))

    @property
    def rank(self) -> int:
        return int(self.input.get("lora_rank", DEFAULT_RANK))

    @property
    def trigger_word(self) -> str:
        return str(self.input.get("trigger_word", "TOK"))

    @property
    def input_path(self) -> str:
        """The path of the archive's URL: what survives in it when signatures change."""
        return urlsplit(str(self.input.get("input_images", ""))).path

    @property
    def model_version(self) -> str:
        """Id of the destination's version that this training makes."""
        return hashlib.sha256(f"version {self.id}".encode()).hexdigest()

    @property
    def starts_at(self) -> float:
        return self.created_at + self.queue_seconds

    @property
    def ends_at(self) -> float | None:
        """When it ends by itself; None while the archive is not there."""
        if self.refused_at is not None:
            return self.refused_at
        if self.archive is None:
            return None
        length = self.seconds / 2 if self.trouble.error else self.seconds
        return max(self.starts_at + length, self.archive.fetched_at)


def status_of(training: Training, now: float) -> Status:
    if training.canceled_at is not None:
        return "aborted" if training.canceled_at < training.starts_at else "canceled"
    if now < training.starts_at:
        return "starting"
    if training.ends_at is None or now < training.ends_at:
        return "processing"
    return "failed" if training.refused or training.trouble.error else "succeeded"


def completed_at(training: Training, now: float) -> float | None:
    if status_of(training, now) not in TERMINAL:
        return None
    return training.canceled_at if training.canceled_at is not None else training.ends_at


def error_of(training: Training, now: float) -> str | None:
    return training.refused or training.trouble.error if status_of(training, now) == "failed" else None


def fraction_done(training: Training, now: float) -> float:
    """How far the training proper is, 0 to 1."""
    if training.archive is None or now < training.starts_at:
        return 0.0
    if status_of(training, now) == "succeeded":
        return 1.0
    until = completed_at(training, now) or now
    return min(max((until - training.starts_at) / training.seconds, 0.0), 0.999) if training.seconds else 0.999


def steps_done(training: Training, now: float) -> int:
    return int(training.steps * fraction_done(training, now))


def billed_seconds(training: Training, now: float) -> float:
    """Simulated seconds on one H100, to the millisecond: steps done, or the time a refused archive took to fetch."""
    if training.refused_at is not None:
        return round(max(training.refused_at - training.starts_at, 0.0), 3)
    return round(training.steps * SECONDS_PER_STEP * fraction_done(training, now), 3)


def cost(training: Training, now: float) -> Decimal:
    """USD, exact: Decimal(str(predict_time)) times the price of a second."""
    return Decimal(str(billed_seconds(training, now))) * USD_PER_SECOND


def is_gone(training: Training, now: float, retention: float) -> bool:
    """Outputs, inputs and logs vanish a while after the end."""
    ended = completed_at(training, now)
    return ended is not None and now >= ended + retention


def timestamp(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
