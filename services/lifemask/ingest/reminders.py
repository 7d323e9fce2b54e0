"""Messages of ingest to itself."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from lifemask.bus.outcomes import Reminder
from lifemask.contracts import Digest, RunId


class ExpireDraft(Reminder):
    """A draft's time is over, if it still is one."""

    ce_type: ClassVar[str] = "lifemask.ingest.expire-draft.v1"
    run_id: RunId


class SealUpload(Reminder):
    """A submitted run whose upload may not be sealed yet: the call that submitted it may have died."""

    ce_type: ClassVar[str] = "lifemask.ingest.seal-upload.v1"
    run_id: RunId


class GiveUp(Reminder):
    """A submitted run that could not be sealed until now has failed."""

    ce_type: ClassVar[str] = "lifemask.ingest.give-up.v1"
    run_id: RunId


class _Clear(Reminder):
    run_id: RunId
    reason: str = Field(max_length=64)
    """Type of the fact by which it is needed no more."""
    statement: Digest | None = None
    """The statement that this fact names."""
    since: AwareDatetime | None = None
    """When it was begun, if the store has refused a deletion since."""


class ClearWork(_Clear):
    """Clean photos, archives and weights of a run that is over are to go."""

    ce_type: ClassVar[str] = "lifemask.ingest.clear-work.v1"


class ClearOriginals(_Clear):
    """Originals of a run that is over are to go, and whatever temporary object came late."""

    ce_type: ClassVar[str] = "lifemask.ingest.clear-originals.v1"


class BringOver(Reminder):
    """The next originals of an earlier run are to be copied into the run that was made from it."""

    ce_type: ClassVar[str] = "lifemask.ingest.bring-over.v1"
    run_id: RunId


class TakeUpload(Reminder):
    """The next objects of an app's upload are to be taken over; `taken` were before."""

    ce_type: ClassVar[str] = "lifemask.ingest.take-upload.v1"
    run_id: RunId
    taken: int = 0


class ClearIncoming(_Clear):
    """What an app put into its incoming prefix for a run is to go: it was taken over, or never will be."""

    ce_type: ClassVar[str] = "lifemask.ingest.clear-incoming.v1"
