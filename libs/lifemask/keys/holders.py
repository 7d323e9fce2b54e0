"""Who may sign which step and emit which events. A keyring says the same for its keys; this is what it is made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lifemask.contracts import (
    ArchiveFetched,
    DatasetSealed,
    Event,
    ModelReady,
    ModelRevocationRequested,
    ModelRevoked,
    NotificationDelivered,
    PhotoJudged,
    PhotoReceived,
    PhotoRemoved,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunCancelRequested,
    RunFailed,
    RunRejected,
    RunStalled,
    SecurityReported,
    Stage,
    TrainingCallbackReceived,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
    UserErased,
    UserErasureRequested,
    split_version,
)

OPERATOR_KEY: Final = "operator"
"""The holder whose key signs what operators ask of the services."""

READER: Final = "auditor"
"""Who reads the keyring and has no key."""

_HOLDER: Final[tuple[type[Event], ...]] = (RunFailed, RunCanceled, RunStalled)
"""Said by whichever service holds the run."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a service's keys may do."""

    steps: tuple[str, ...]
    """Steps and acts of the custody chain."""
    events: tuple[str, ...]
    """Types without version."""


def _may(*steps: str, emit: tuple[type[Event], ...]) -> Rights:
    everything: tuple[type[Event], ...] = (*emit, SecurityReported)
    return Rights(steps, tuple(sorted(split_version(event.ce_type)[0] for event in everything)))


HOLDERS: Final[Mapping[str, Rights]] = {
    "ingest": _may(
        "upload",
        "refusal",
        "disposal",
        emit=(
            *_HOLDER,
            PhotoReceived,
            PhotoRemoved,
            RunAccepted,
            RunRejected,
            RunCancelRequested,
            ArchiveFetched,
            TrainingCallbackReceived,
            UserErasureRequested,
            UserErased,
        ),
    ),
    "image-validator": _may("validation", "refusal", emit=(*_HOLDER, PhotoJudged, PhotosValidated, RunRejected)),
    "packager": _may("dataset", "refusal", emit=(*_HOLDER, DatasetSealed)),
    "trainer": _may(
        "training", "weights", "refusal", emit=(*_HOLDER, TrainingStarted, TrainingProgressed, TrainingSucceeded)
    ),
    "publisher": _may("publication", "refusal", "revocation", emit=(*_HOLDER, ModelReady, ModelRevoked)),
    "notifier": _may(emit=(NotificationDelivered,)),
    OPERATOR_KEY: Rights((), (split_version(ModelRevocationRequested.ce_type)[0],)),
}
"""By the holder's name as in `ce_source`: the services, and whoever runs them."""

STAGES: Final[Mapping[str, Stage]] = {
    "ingest": Stage.REQUEST,
    "image-validator": Stage.VALIDATE,
    "packager": Stage.PACKAGE,
    "trainer": Stage.TRAIN,
    "publisher": Stage.PUBLISH,
}
"""The stage in which each service holds runs: of no other one may it say that a run failed, ended or waits there."""


def speaks_of_its_stage(holder: str, event: Event) -> bool:
    """Whether a fact of whoever holds a run names the stage of who said it; true for all other events."""
    return not isinstance(event, (RunCanceled, RunFailed, RunStalled)) or STAGES.get(holder) == event.stage
