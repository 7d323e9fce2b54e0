"""Topic `lifemask.trainings`: one paid training at the provider, seen from outside."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from lifemask.contracts.event import Baton, RunEvent
from lifemask.contracts.ids import Digest
from lifemask.contracts.topics import Topic

Dollars = Annotated[
    str,
    Field(pattern=r"^[0-9]+\.[0-9]{2,6}$", examples=["1.04"]),
]
Attempt = Annotated[int, Field(ge=1, description="Number of the attempt within the run, from 1.", examples=[1])]
TrainingId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{1,128}$",
        description="The training's id at the provider.",
        examples=["zz4ibbonubfz7carwiefibzgga"],
    ),
]


class TrainingStarted(RunEvent):
    """The provider confirmed the paid training."""

    ce_type: ClassVar[str] = "lifemask.training.started.v1"
    topic: ClassVar[Topic] = Topic.TRAININGS
    baton: ClassVar[Baton] = Baton.HELD

    attempt: Attempt
    training: TrainingId
    provider: str = Field(examples=["replicate"], max_length=32)
    """The provider of trainings."""
    estimated_cost_usd: Dollars
    """Estimated before the start, in US dollars, a decimal string."""


class TrainingProgressed(RunEvent):
    """How far the training is, read from the provider."""

    ce_type: ClassVar[str] = "lifemask.training.progressed.v1"
    topic: ClassVar[Topic] = Topic.TRAININGS
    baton: ClassVar[Baton] = Baton.HELD

    attempt: Attempt
    percent: int = Field(ge=0, le=100, examples=[42])
    """Steps done, in percent."""
    step: int = Field(ge=0, examples=[420])
    """Steps done."""
    steps: int = Field(ge=1, examples=[1000])
    """Steps in all."""


class TrainingCallbackReceived(RunEvent):
    """A signed callback of the provider came in. A hint to look; the truth is read from the provider."""

    ce_type: ClassVar[str] = "lifemask.training.callback-received.v1"
    topic: ClassVar[Topic] = Topic.TRAININGS

    attempt: Attempt
    training: TrainingId


class ArchiveRefusal(StrEnum):
    """Why an archive was not given out: what lies in the store is not what was sealed."""

    MISSING = "missing"
    OTHER_SIZE = "other_size"
    OTHER_BYTES = "other_bytes"


class ArchiveFetched(RunEvent):
    """The archive was read through the gateway by somebody with the attempt's address, who should be the provider.

    The bytes were those that the dataset statement names, and the last of them were released after this event was
    stored; or, with `refused`, they were others, and what was sent cannot be opened. A fetch that broke off before
    its end is not told: without its end an archive cannot be opened either.
    """

    ce_type: ClassVar[str] = "lifemask.archive.fetched.v1"
    topic: ClassVar[Topic] = Topic.TRAININGS

    attempt: Attempt
    bytes: int = Field(ge=0, examples=[61_000_000])
    """Bytes that were read from the store; with a `refused` size or object those that lie there."""
    refused: ArchiveRefusal | None = None
    """Absent when the archive was the sealed one."""


class TrainingSucceeded(RunEvent):
    """The weights are copied out, checked and sealed; publisher takes the run."""

    ce_type: ClassVar[str] = "lifemask.training.succeeded.v1"
    topic: ClassVar[Topic] = Topic.TRAININGS
    baton: ClassVar[Baton] = Baton.PASSES

    statement: Digest
    """SHA-256 of the weights statement: what was trained from which dataset, linked to the training statement."""
    attempt: Attempt
    training: TrainingId
    bytes: int = Field(ge=1, examples=[172_000_000])
    """Size of the weights in bytes."""
    seconds: int = Field(ge=0, examples=[682])
    """Billed time in whole seconds."""
    cost_usd: Dollars
    """What the provider bills, in US dollars, a decimal string."""
