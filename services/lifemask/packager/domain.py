"""What goes into the archive of a run, and what can be wrong with one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from lifemask.contracts import Digest, Failure, FailureCode, PhotoId

NONCE_DIGITS = 8
FORMAT = "zip; stored; jpeg"
"""What the statement says about the archive's form."""


@dataclass(frozen=True, slots=True)
class CleanPhoto:
    """A photo that validation found usable: SHA-256 and size in bytes of its clean JPEG."""

    photo_id: PhotoId
    sha256: Digest
    bytes: int


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the archive. `name` is generated: the person's file names stay ours."""

    name: str
    photo_id: PhotoId
    sha256: Digest
    bytes: int


@dataclass(frozen=True, slots=True)
class FoundMember:
    """One entry as it was read back: `bytes` and `sha256` of its content."""

    name: str
    sha256: Digest
    bytes: int


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """An archive as it was read back from the store, from its first byte to its last.

    `problem` names the first thing that does not hold in its structure (a CRC-32, an offset, a stray byte); None when
    local headers, data and central directory agree.
    """

    sha256: Digest
    bytes: int
    members: tuple[FoundMember, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Minimum:
    """What an archive must hold: images, and bytes altogether. The trainer's authors ask for both."""

    members: int
    bytes: int


def plan_archive(photos: Sequence[CleanPhoto], statement: Digest) -> tuple[Member, ...]:
    """The members in the order of the validation manifest.

    Their names carry a nonce of the run: the provider hands the stems back with the weights, so that a mix-up shows.
    It follows from the statement, so that the same run makes the same archive.
    """
    nonce = statement[:NONCE_DIGITS]
    digits = max(2, len(str(len(photos))))
    return tuple(
        Member(f"{nonce}-{number:0{digits}d}.jpg", photo.photo_id, photo.sha256, photo.bytes)
        for number, photo in enumerate(photos, start=1)
    )


def find_shortage(plan: Sequence[Member], minimum: Minimum) -> Failure | None:
    """Whether the plan is too small to train on."""
    if len(plan) < minimum.members:
        return _too_small(f"{len(plan)} images, at least {minimum.members} are needed")
    if sum(member.bytes for member in plan) < minimum.bytes:
        return _too_small(f"less than {minimum.bytes} bytes")
    return None


def find_problem(plan: Sequence[Member], found: ArchiveReport) -> str | None:
    """What is wrong with the archive as it was read back, for the log; None when it is the planned one."""
    if found.problem is not None:
        return found.problem
    if len(found.members) != len(plan):
        return f"{len(found.members)} of {len(plan)} images"
    for number, (member, there) in enumerate(zip(plan, found.members, strict=True), start=1):
        if (member.name, member.sha256, member.bytes) != (there.name, there.sha256, there.bytes):
            return f"image {number} differs"
    return None


def _too_small(problem: str) -> Failure:
    return Failure.of(FailureCode.ARCHIVE_TOO_SMALL, problem=problem)
