"""What ingest keeps, as values that its writer stores in the finishing transaction; and what may stand against it.

The writer locks the run's row first, so these refusals are decided on what is really stored, not on what a call read.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lifemask.contracts import RunEvent
from lifemask.contracts.runs import Door
from lifemask.ingest.domain.targets import Slot


@dataclass(frozen=True, slots=True)
class NewRun:
    """A draft begins. `key` is the caller's idempotency key, `digest` the SHA-256 of `request`, its JSON text."""

    user_id: str
    run_id: str
    request: str
    digest: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """A draft begins that is made from the originals of the run `restarted_from`, within `kept` of that run's end.

    `photos` are pairs of that run's photo ids and the new ones; none of them is in the store yet. `submits`: once they
    are, the run is submitted by itself.
    """

    user_id: str
    run_id: str
    restarted_from: str
    photos: tuple[tuple[str, str], ...]
    kept: timedelta
    submits: bool


@dataclass(frozen=True, slots=True)
class PhotoHere:
    """The original of a photo of an earlier run lies whole in the new run's part of the store."""

    user_id: str
    run_id: str
    photo_id: str


@dataclass(frozen=True, slots=True)
class NewUpload:
    """A run that an app's event began: submitted from the start. `content` is the SHA-256 of what the event says.

    `upload` is None when this run has none to take over or to clear up. `request` is JSON text.
    """

    user_id: str
    run_id: str
    request: str
    content: str
    upload: str | None = None
    objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspicious:
    """A message that must not have its effect: it names what is somebody else's, or another run's."""

    user_id: str
    run_id: str
    kind: str
    content: str
    reason: str


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """An original lies whole in the store; `limit` is how many photos a run may hold.

    Of an upload that an event announced it is nothing new, and no refusal, when the run is over or has the same file.
    """

    user_id: str
    run_id: str
    photo_id: str
    sha256: str
    bytes: int
    media_type: str
    limit: int
    door: Door = "http"


@dataclass(frozen=True, slots=True)
class NewSlots:
    """Files were announced that are to be put straight into the store; `limit` is how many photos a run may hold."""

    user_id: str
    run_id: str
    slots: tuple[Slot, ...]
    expires_at: datetime
    limit: int


@dataclass(frozen=True, slots=True)
class SlotDone:
    """An announced file was taken over, or is a photo of the run already."""

    user_id: str
    run_id: str
    photo_id: str


@dataclass(frozen=True, slots=True)
class RemovedPhoto:
    """The person took a photo out of the draft."""

    user_id: str
    run_id: str
    photo_id: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """The set of photos is closed: the draft is submitted with `received` photos of which `rejected` are unfit.

    `by_itself`: nobody waits for an answer, and it is no refusal when things have changed.
    """

    user_id: str
    run_id: str
    received: int
    rejected: int
    by_itself: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A fact to be folded into the run's view."""

    event: RunEvent


@dataclass(frozen=True, slots=True)
class Disposed:
    """Temporary objects were deleted: `what` names the group, `result` is `deleted` or `denied`."""

    user_id: str
    run_id: str
    what: str
    objects: int
    bytes: int
    result: str = "deleted"


class Refused(Exception):
    """The row cannot be stored as things are now; the whole transaction is undone."""


class RunUnknown(Refused):
    """The user has no such run."""


class NotADraft(Refused):
    """The run was submitted or is over."""


class PhotoUnknown(Refused):
    """The run has no such photo."""


class RunFull(Refused):
    """The run holds as many photos as it may."""


class SetChanged(Refused):
    """The photos changed since the decision; decide again."""


class AlreadyRestarted(Refused):
    """The run was started again before, as the run `run_id`."""

    def __init__(self, run_id: str) -> None:
        super().__init__("the run was started again before")
        self.run_id = run_id


class OriginalsGone(Refused):
    """The run's originals are deleted, or about to be."""


class SameFile(Refused):
    """The file's bytes are a photo of the run already."""

    def __init__(self, photo_id: str) -> None:
        super().__init__("the same file is in the run already")
        self.photo_id = photo_id


class KeyTaken(Refused):
    """The idempotency key named a run before; `digest` is that request's."""

    def __init__(self, run_id: str, digest: str) -> None:
        super().__init__("the idempotency key was used before")
        self.run_id = run_id
        self.digest = digest
