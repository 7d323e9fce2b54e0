"""The photos of a run: which ones repeat another, and whether there are enough. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lifemask.contracts import Verdict
from lifemask.image_validator.domain.photo import Examined, Kind, Measured, Policy


@dataclass(frozen=True, slots=True)
class SealedPhoto:
    """One original of the submitted set: SHA-256 and size in bytes."""

    photo_id: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Clean:
    """The photo as it may leave the house: SHA-256 and size in bytes of its JPEG."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What a judgement was made with: the digest of all thresholds, and what wrote the clean photo."""

    policy: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Photo:
    """What we know of one photo of a run. `place` is its turn among them, from 1."""

    user_id: str
    run_id: str
    photo_id: str
    place: int
    measured: Measured
    faults: tuple[Verdict, ...]
    """What is wrong with the photo itself."""
    original: str | None = None
    """SHA-256 of the original; None when it was too large to be read."""
    terms: Terms | None = None
    """What it was judged with; None when it was never looked at."""
    likeness: int | None = None
    clean: Clean | None = None
    similar_to: str | None = None
    """The earlier usable photo that it repeats."""
    bound: bool = True
    """Whether the bytes are those that were announced."""
    told: bool = False
    """Whether this verdict went out as an event."""
    removed: bool = False

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return (*self.faults, Verdict.DUPLICATE) if self.similar_to else self.faults

    @property
    def usable(self) -> bool:
        return not self.removed and not self.verdicts


@dataclass(frozen=True, slots=True)
class Sealed:
    """The statement on a set: its digest, and how many photos of how many it found usable."""

    statement: str
    received: int
    usable: int


@dataclass(frozen=True, slots=True)
class Album:
    """What is stored about a run. After `decided` nothing about it changes any more."""

    photos: Mapping[str, Photo]
    decided: bool = False

    @property
    def next_place(self) -> int:
        return 1 + max((photo.place for photo in self.photos.values()), default=0)

    @property
    def present(self) -> list[Photo]:
        """The photos that were not removed, in their order of arrival."""
        return sorted((photo for photo in self.photos.values() if not photo.removed), key=lambda photo: photo.place)


@dataclass(frozen=True, slots=True)
class Decided:
    """The run is decided, or over: later news of its photos is not looked at."""

    user_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """What lies in the store under a photo's id is not what was uploaded; the operator is told."""

    user_id: str
    run_id: str
    photo_id: str


def appraise(
    user_id: str, run_id: str, photo_id: str, place: int, seen: Examined, *, terms: Terms, bound: bool
) -> Photo:
    """The photo as examined. Bytes that are not the announced ones cannot be used, whatever they show."""
    photo = Photo(user_id, run_id, photo_id, place, seen.measured, seen.verdicts, seen.original, terms)
    if not bound:
        return replace(photo, faults=(Verdict.UNREADABLE,), bound=False)
    if seen.clean is None:
        return photo
    clean = Clean(hashlib.sha256(seen.clean).hexdigest(), len(seen.clean))
    return replace(photo, likeness=seen.likeness, clean=clean)


def gone(user_id: str, run_id: str, photo_id: str, place: int) -> Photo:
    """A photo that was removed before it was looked at: it is never looked at."""
    return Photo(user_id, run_id, photo_id, place, Measured(Kind.OTHER, 0), (), removed=True)


def compare(photos: Iterable[Photo], policy: Policy) -> tuple[Photo, ...]:
    """The photos, in the order given, each with `similar_to` decided anew: of two alike, the first one counts."""
    kept: list[Photo] = []
    result: list[Photo] = []
    for photo in photos:
        twin = next((earlier for earlier in kept if _alike(earlier, photo, policy)), None)
        decided = _decided(photo, twin.photo_id if twin else None)
        if decided.usable:
            kept.append(decided)
        result.append(decided)
    return tuple(result)


def _alike(one: Photo, other: Photo, policy: Policy) -> bool:
    if one.likeness is None or other.likeness is None:
        return False
    return (one.likeness ^ other.likeness).bit_count() <= policy.max_likeness


def _decided(photo: Photo, twin: str | None) -> Photo:
    if photo.similar_to == twin:
        return photo
    return replace(photo, similar_to=twin, told=False)


def changed(photos: Iterable[Photo], known: Mapping[str, Photo]) -> tuple[Photo, ...]:
    """The photos whose verdict the world has not heard, or that are not stored as they are now."""
    return tuple(photo for photo in photos if not photo.told or known.get(photo.photo_id) != photo)


def is_judged(photo: Photo | None, sealed: SealedPhoto, policy: Policy, terms: Terms) -> bool:
    """Whether what is stored is the judgement on exactly the sealed bytes, made with what the statement will name."""
    if photo is None or photo.removed or not photo.bound or photo.terms != terms:
        return False
    return matches(photo.original, sealed, policy)


def contradicts(photo: Photo | None, sealed: SealedPhoto, policy: Policy) -> bool:
    """Whether other bytes than the sealed ones were judged under this id: no photo ever gets other bytes.

    Of one that was too large for an earlier byte limit nothing is known.
    """
    if photo is None or photo.removed or not photo.bound or photo.terms is None:
        return False
    if photo.original is None and photo.terms.policy != policy.digest:
        return False
    return not matches(photo.original, sealed, policy)


def matches(original: str | None, sealed: SealedPhoto, policy: Policy) -> bool:
    """Whether a digest is that of the sealed original. One above the byte limit is not read to its end."""
    return original == sealed.sha256 or (original is None and sealed.bytes > policy.max_bytes)


def usable_of(photos: Sequence[Photo]) -> tuple[Photo, ...]:
    """The photos that will be trained on, in order."""
    return tuple(photo for photo in photos if photo.usable)
