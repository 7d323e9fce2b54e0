"""The packager's ports in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lifemask.contracts import Failure, FailureCode, PhotosValidated
from lifemask.packager.domain import ArchiveReport, CleanPhoto, FoundMember, Member

SEALED = "5" * 64


@dataclass
class InMemoryCustody:
    """Has one validated set; `breaks` makes it refuse."""

    photos: tuple[CleanPhoto, ...]
    breaks: str | None = None
    sealed: list[tuple[ArchiveReport, datetime]] = field(default_factory=list)

    async def validated(self, event: PhotosValidated, seen: datetime) -> tuple[CleanPhoto, ...] | Failure:
        return broken("validation") if self.breaks == "validation" else self.photos

    async def seal(
        self, event: PhotosValidated, plan: Sequence[Member], archive: ArchiveReport, at: datetime
    ) -> str | Failure:
        if self.breaks == "dataset":
            return broken("dataset")
        self.sealed.append((archive, at))
        return SEALED


@dataclass
class InMemoryArchive:
    """Writes nothing and reports what was planned, but for the member that it `loses` or the photo that `differs`."""

    loses: str | None = None
    differs: bool = False
    writes: list[tuple[Member, ...]] = field(default_factory=list)

    async def write(self, user_id: str, run_id: str, plan: Sequence[Member]) -> Failure | None:
        self.writes.append(tuple(plan))
        return broken("clean photo") if self.differs else None

    async def inspect(self, user_id: str, run_id: str, plan: Sequence[Member]) -> ArchiveReport:
        found = tuple(FoundMember(one.name, one.sha256, one.bytes) for one in plan if one.name != self.loses)
        return ArchiveReport("4" * 64, sum(one.bytes for one in found) + 1000, found)


def broken(link: str) -> Failure:
    return Failure.of(FailureCode.CUSTODY_BROKEN, link=link)
