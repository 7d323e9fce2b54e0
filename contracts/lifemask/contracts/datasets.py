"""Topic `lifemask.datasets`: from judged photos to a sealed archive."""

from typing import ClassVar

from pydantic import Field

from lifemask.contracts.event import Baton, RunEvent
from lifemask.contracts.ids import Digest
from lifemask.contracts.parameters import TrainingParameters
from lifemask.contracts.topics import Topic


class PhotosValidated(RunEvent):
    """Enough photos of the sealed set can be used; packager takes the run."""

    ce_type: ClassVar[str] = "lifemask.photos.validated.v1"
    topic: ClassVar[Topic] = Topic.DATASETS
    baton: ClassVar[Baton] = Baton.PASSES

    statement: Digest
    """SHA-256 of the validation statement: which photos were judged how, linked to the upload statement."""
    received: int = Field(ge=1, examples=[20])
    """Photos in the sealed set."""
    usable: int = Field(ge=1, examples=[16])
    """Photos that will be trained on."""
    parameters: TrainingParameters = Field(examples=[TrainingParameters().model_dump()])
    """How to train."""


class DatasetSealed(RunEvent):
    """The training archive is written, read back and sealed; trainer takes the run."""

    ce_type: ClassVar[str] = "lifemask.dataset.sealed.v1"
    topic: ClassVar[Topic] = Topic.DATASETS
    baton: ClassVar[Baton] = Baton.PASSES

    statement: Digest
    """SHA-256 of the dataset statement: what is in the archive, linked to the validation statement."""
    photos: int = Field(ge=1, examples=[16])
    """Images in the archive."""
    bytes: int = Field(ge=1, examples=[12_000_000])
    """Size of the archive in bytes."""
    parameters: TrainingParameters = Field(examples=[TrainingParameters().model_dump()])
    """How to train."""
