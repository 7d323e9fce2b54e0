"""What judging needs of the world. All raise Retryable when their part is away, Misconfigured when it refuses us."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from lifemask.contracts import Digest, Failure, PhotoId, PhotoReceived, RunAccepted, RunId, UserId
from lifemask.image_validator.domain.album import Album, Photo, Sealed, SealedPhoto, Terms
from lifemask.image_validator.domain.photo import Examined


class Custody(Protocol):
    """The run's statements."""

    async def holds(self, event: PhotoReceived, sha256: Digest) -> bool:
        """Whether these are the bytes that the event is about; a mismatch is logged."""

    async def uploaded(self, event: RunAccepted, seen: datetime) -> tuple[SealedPhoto, ...] | Failure:
        """The sealed set in its order; `seen` is when the event came. Failure when the statement, the request or their
        numbers do not hold.
        """

    async def sealed_before(self, event: RunAccepted, at: datetime) -> Sealed | Failure | None:
        """Our statement on this set, sealed at `at` by a try that ended before its outcome was stored; None when there
        is none. Failure when what lies in its place is none of ours.
        """

    async def seal(
        self,
        event: RunAccepted,
        sealed: Sequence[SealedPhoto],
        photos: Sequence[Photo],
        *,
        terms: Terms,
        at: datetime,
    ) -> Digest | Failure:
        """Seals the judgement on each photo of the set, both in its order; repeating it gives the same digest."""


class Gallery(Protocol):
    """The photos' objects in the user's part of the store."""

    async def original(self, user_id: UserId, run_id: RunId, photo_id: PhotoId) -> bytes | None:
        """The original, cut off one byte after the byte limit; None when there is none (any more)."""

    async def keep_clean(self, photo: Photo, jpeg: bytes) -> None:
        """Stores the clean photo; the same again is fine."""

    async def forget(self, photo: Photo) -> None:
        """Removes the clean photo; it may not be there."""

    async def keep_verdict(self, photo: Photo) -> None:
        """Stores measurements, thresholds and verdicts as JSON, in place of an earlier one."""


class Imaging(Protocol):
    """Decoding, measuring, judging and cleaning of one file."""

    @property
    def encoder(self) -> str:
        """What writes the clean photos, with its version."""

    async def examine(self, data: bytes) -> Examined:
        """The judgement on a file; whatever is wrong with the file is a verdict, never an exception."""


class Photos(Protocol):
    """The rows of the photos."""

    async def of_run(self, user_id: UserId, run_id: RunId) -> Album:
        """Everything stored about the run."""
