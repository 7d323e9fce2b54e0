"""Topic `lifemask.photos`: one photo of a draft comes, goes, is judged."""

from typing import ClassVar

from pydantic import Field

from lifemask.contracts.event import RunEvent
from lifemask.contracts.ids import Digest, PhotoId
from lifemask.contracts.topics import Topic
from lifemask.contracts.verdicts import COPY_DAMAGED, Verdict


class PhotoReceived(RunEvent):
    """A photo lies whole in the user's part of the store."""

    ce_type: ClassVar[str] = "lifemask.photo.received.v1"
    topic: ClassVar[Topic] = Topic.PHOTOS

    photo_id: PhotoId
    bytes: int = Field(gt=0, examples=[3_600_000])
    """Size of the original in bytes."""
    commitment: Digest
    """Binds the photo's bytes without revealing them: HMAC-SHA256 of the original's SHA-256 (as 64 hexadecimal digits)
    under the run's salt (32 bytes), which is erasable."""


class PhotoRemoved(RunEvent):
    """The person took a photo out of the draft."""

    ce_type: ClassVar[str] = "lifemask.photo.removed.v1"
    topic: ClassVar[Topic] = Topic.PHOTOS

    photo_id: PhotoId


class PhotoJudged(RunEvent):
    """The verdict on one photo; a later one on the same photo replaces it."""

    ce_type: ClassVar[str] = "lifemask.photo.judged.v1"
    topic: ClassVar[Topic] = Topic.PHOTOS

    photo_id: PhotoId
    usable: bool = Field(examples=[False])
    """Whether the photo counts towards the minimum."""
    verdicts: tuple[Verdict, ...] = Field(examples=[("blurry",)])
    """Why it cannot be used; empty when it can."""
    similar_to: PhotoId | None = None
    """With `duplicate`: the photo of the same run that it resembles."""
    copy_damaged: bool = False
    """What lies in the store is not what was uploaded: our side. `verdicts` then says `unreadable`."""

    @property
    def codes(self) -> tuple[str, ...]:
        """What to tell the person, as `sentence` takes it."""
        return (COPY_DAMAGED,) if self.copy_damaged else tuple(verdict.value for verdict in self.verdicts)
