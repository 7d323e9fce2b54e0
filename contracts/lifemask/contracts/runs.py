"""Topic `lifemask.runs`: a run begins, stalls, is asked to end, ends without a model."""

from typing import ClassVar, Literal

from pydantic import Field

from lifemask.contracts.event import Baton, RunEvent, Stage, Value
from lifemask.contracts.failures import Failure
from lifemask.contracts.ids import Digest, PhotoId
from lifemask.contracts.parameters import TrainingParameters
from lifemask.contracts.topics import Topic
from lifemask.contracts.verdicts import Verdict

Door = Literal["http", "kafka", "presigned", "url", "restart"]


class RunAccepted(RunEvent):
    """The upload is sealed; image-validator takes the run."""

    ce_type: ClassVar[str] = "lifemask.run.accepted.v1"
    topic: ClassVar[Topic] = Topic.RUNS
    baton: ClassVar[Baton] = Baton.PASSES

    statement: Digest
    """SHA-256 of the upload statement, the first link of the run's chain of custody."""
    photos: int = Field(ge=1, examples=[20])
    """Number of photos in the sealed set."""
    door: Door = Field(examples=["http"])
    """How the photos came: uploaded to the API, named by `PhotosUploaded`, put to presigned URLs, fetched from URLs, or
    taken from an earlier run."""
    parameters: TrainingParameters = Field(examples=[TrainingParameters().model_dump()])
    """How to train."""


class RunCancelRequested(RunEvent):
    """Somebody wants the run to end; whichever service holds it ends it."""

    ce_type: ClassVar[str] = "lifemask.run.cancel-requested.v1"
    topic: ClassVar[Topic] = Topic.RUNS

    by: Literal["user", "operator"] = Field(examples=["user"])
    """Who asks."""


class RunStalled(RunEvent):
    """Delayed, our side: a message of this run went to the dead letters, or its stage is paused. Not terminal."""

    ce_type: ClassVar[str] = "lifemask.run.stalled.v1"
    topic: ClassVar[Topic] = Topic.RUNS
    baton: ClassVar[Baton] = Baton.HELD

    stage: Stage = Field(examples=["package"])
    """The step in which it waits."""
    failure: Failure
    """Why it waits, in words that may be shown to the person."""


class PhotoVerdict(Value):
    """The last verdict on one photo of the set."""

    photo_id: PhotoId
    usable: bool = Field(examples=[True])
    """Whether the photo counts towards the minimum."""
    verdicts: tuple[Verdict, ...] = Field(examples=[()])
    """Why it cannot be used; empty when it can."""


class RunRejected(RunEvent):
    """Terminal, the user's move: too few photos of the set can be used."""

    ce_type: ClassVar[str] = "lifemask.run.rejected.v1"
    topic: ClassVar[Topic] = Topic.RUNS
    baton: ClassVar[Baton] = Baton.ENDS

    failure: Failure
    """What is missing and what to do, in words that may be shown to the person."""
    received: int = Field(ge=0, examples=[10])
    """Photos in the set."""
    usable: int = Field(ge=0, examples=[8])
    """Photos that can be used."""
    needed: int = Field(ge=0, examples=[4])
    """How many more are needed."""
    photos: tuple[PhotoVerdict, ...] = ()
    """The last verdict on each photo of the set."""


class RunFailed(RunEvent):
    """Terminal, our or the provider's fault."""

    ce_type: ClassVar[str] = "lifemask.run.failed.v1"
    topic: ClassVar[Topic] = Topic.RUNS
    baton: ClassVar[Baton] = Baton.ENDS

    stage: Stage = Field(examples=["train"])
    """The step in which it failed."""
    failure: Failure
    """What happened, whose move it is and the next step, in words that may be shown to the person."""
    cost_usd: str | None = Field(default=None, pattern=r"^[0-9]+\.[0-9]{2,6}$", examples=["1.04"])
    """What the provider bills for it, in US dollars; absent when nothing was trained."""


class RunCanceled(RunEvent):
    """Terminal: ended on request, or a draft that nobody submitted."""

    ce_type: ClassVar[str] = "lifemask.run.canceled.v1"
    topic: ClassVar[Topic] = Topic.RUNS
    baton: ClassVar[Baton] = Baton.ENDS

    stage: Stage = Field(examples=["train"])
    """The step in which it was when it ended."""
    reason: Literal["requested", "draft_expired"] = Field(examples=["requested"])
    """`requested`: somebody asked. `draft_expired`: a draft that nobody submitted."""
