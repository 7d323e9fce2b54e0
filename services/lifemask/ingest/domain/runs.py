"""A run as ingest keeps it, and the decisions about a draft."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lifemask.contracts import RunRequest
from lifemask.contracts.runs import Door
from lifemask.ingest.domain.facts import Facts
from lifemask.ingest.domain.photos import Photo, PhotoStatus


@dataclass(frozen=True, slots=True)
class Counts:
    """How many photos of a run are in which state; `coming` of the pending ones are not in the store yet."""

    received: int = 0
    pending: int = 0
    usable: int = 0
    rejected: int = 0
    coming: int = 0

    @property
    def possible(self) -> int:
        """Photos that are or may still turn out usable."""
        return self.received - self.rejected


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `request` is the exact JSON text that was accepted; `seq` the number of its last visible change."""

    user_id: str
    id: str
    request: str
    created_at: datetime
    submitted_at: datetime | None = None
    facts: Facts = field(default_factory=Facts)
    seq: int = 0
    upload: str | None = None
    """The app's name of the upload that this run alone takes over; None for a draft, and when another run has it."""
    objects: tuple[str, ...] = ()
    """Names of that upload's objects, in the app's order, each once."""
    content: str | None = None
    """SHA-256 of what the event that began this run says; None for a draft."""
    restarted_from: str | None = None
    """The earlier run of the same user whose originals this run was made from."""
    restarted_as: str | None = None
    """The run that was made from this run's originals."""
    submits: bool = False
    """Whether it is submitted by itself once all originals of the earlier run are here."""

    @property
    def wish(self) -> RunRequest:
        """What the person chose."""
        return RunRequest.read(self.request.encode())

    @property
    def by_event(self) -> bool:
        """Whether an app's event began this run, and not a call of the API."""
        return self.content is not None

    @property
    def incoming(self) -> str | None:
        """The folder of the incoming prefix that is this run's alone: its upload's, or the one of its targets."""
        return self.upload if self.by_event else self.id

    @property
    def is_draft(self) -> bool:
        """Whether photos may still come and go."""
        return self.submitted_at is None and not self.facts.slots

    @property
    def is_over(self) -> bool:
        """Whether the terminal fact is known."""
        return self.facts.end is not None


def count(photos: Sequence[Photo]) -> Counts:
    """The counts of a set of photos."""
    states = [photo.status for photo in photos]
    return Counts(
        received=len(states),
        pending=states.count(PhotoStatus.PENDING),
        usable=states.count(PhotoStatus.USABLE),
        rejected=states.count(PhotoStatus.REJECTED),
        coming=sum(1 for photo in photos if not photo.here),
    )


def missing(counts: Counts, minimum: int) -> int:
    """How many more photos are needed; 0 as long as those not yet judged may suffice."""
    return max(0, minimum - counts.possible)


@dataclass(frozen=True, slots=True)
class SealedPhoto:
    """One photo as the upload statement binds it."""

    id: str
    sha256: str
    bytes: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Sealing:
    """Everything the upload statement says. Made of stored rows only, so that a second try seals the same bytes."""

    user_id: str
    run_id: str
    door: str
    request_sha256: str
    photos: tuple[SealedPhoto, ...]
    at: datetime
    restarted_from: str | None = None


def plan_sealing(run: Run, photos: Sequence[Photo], request_sha256: str, at: datetime) -> Sealing:
    """The statement of a submitted run; photos in order of arrival."""
    sealed = tuple(SealedPhoto(photo.id, photo.sha256, photo.bytes, photo.received_at) for photo in photos)
    return Sealing(run.user_id, run.id, door_of(photos), request_sha256, sealed, at, run.restarted_from)


def door_of(photos: Sequence[Photo]) -> Door:
    """The door that all photos came through; `http`, the API that leads to all others, when they are mixed."""
    doors = {photo.door for photo in photos}
    return doors.pop() if len(doors) == 1 else "http"
