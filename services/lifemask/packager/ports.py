"""What packing needs of the world. All raise Retryable when their part is away, Misconfigured when it refuses us."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from lifemask.contracts import Digest, Failure, PhotosValidated, RunId, UserId
from lifemask.packager.domain import ArchiveReport, CleanPhoto, Member


class Custody(Protocol):
    """The run's statements."""

    async def validated(self, event: PhotosValidated, seen: datetime) -> tuple[CleanPhoto, ...] | Failure:
        """The usable photos in order; `seen` is when the event came. Failure when a statement up to validation, or its
        numbers, do not hold.
        """

    async def seal(
        self, event: PhotosValidated, plan: Sequence[Member], archive: ArchiveReport, at: datetime
    ) -> Digest | Failure:
        """Seals the archive as it was read back; repeating it gives the same digest."""


class DatasetArchive(Protocol):
    """The training archive of a run in the store."""

    async def write(self, user_id: UserId, run_id: RunId, plan: Sequence[Member]) -> Failure | None:
        """Streams the clean photos into a stored zip, in place of an earlier one. Nothing becomes visible when a photo
        is missing or is not the validated one, which is the Failure returned.
        """

    async def inspect(self, user_id: UserId, run_id: RunId, plan: Sequence[Member]) -> ArchiveReport:
        """Reads it back once, to the last byte. A stored zip written as a stream tells the sizes of its members only
        after them: `plan` says where to look.
        """
