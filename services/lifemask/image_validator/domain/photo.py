"""What a photo must be, for itself, to be trained on. Pure."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import chain

from lifemask.contracts import Verdict

MEASURE = "tile95-laplacian4-1024/phash16-32/1"
"""How sharpness and likeness are measured. Part of the policy: other measures need other thresholds."""


class Kind(StrEnum):
    """What a file is by its content; its name is never asked."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    HEIC = "heic"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Policy:
    """The thresholds of a photo. Where each number comes from: `settings.py`, which holds the defaults."""

    min_bytes: int
    max_bytes: int
    min_side: int
    max_pixels: int
    max_aspect: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_black: float
    max_white: float
    min_contrast: float
    max_likeness: int
    clean_side: int
    clean_quality: int
    heic: bool
    """Whether HEIC photos are taken."""

    @property
    def digest(self) -> str:
        """SHA-256 over every threshold and the name of the measures, in one spelling."""
        spelled = {"measure": MEASURE, **{name: str(value) for name, value in asdict(self).items()}}
        return hashlib.sha256(json.dumps(spelled, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found in one file.

    `width` and `height` are pixels as stored, of a HEIC upright; 0 when unknown. The looks are taken at a long side of
    1024: `sharpness` is the 95th percentile over 16 x 16 tiles of the variance of the Laplacian, `brightness` the mean
    luma (0 to 255), `black` and `white` the shares of clipped pixels (0 to 1), `contrast` the standard deviation of
    luma. They are None when the file was not decoded.
    """

    kind: Kind
    bytes: int
    width: int = 0
    height: int = 0
    frames: int = 1
    decoded: bool = False
    sharpness: float | None = None
    brightness: float | None = None
    black: float | None = None
    white: float | None = None
    contrast: float | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """One file judged for itself. `original` is its SHA-256, None above the byte limit; `clean` (JPEG bytes) and
    `likeness` (perceptual hash) are there when nothing is wrong with it.
    """

    measured: Measured
    verdicts: tuple[Verdict, ...]
    original: str | None = None
    likeness: int | None = None
    clean: bytes | None = None


def judge(found: Measured, policy: Policy) -> tuple[Verdict, ...]:
    """Everything that is wrong with a photo for itself, the most telling first."""
    if found.bytes == 0:
        return (Verdict.FILE_TOO_SMALL,)
    if found.kind is Kind.OTHER:
        return (Verdict.NOT_A_PHOTO,)
    if found.bytes > policy.max_bytes:
        return (Verdict.FILE_TOO_LARGE,)
    if found.kind is Kind.HEIC and not policy.heic:
        return (Verdict.HEIC_NOT_SUPPORTED,)
    refused = tuple(chain(_size_faults(found, policy), _shape_faults(found, policy)))
    if not found.decoded:
        return refused or (Verdict.UNREADABLE,)
    return refused + tuple(_look_faults(found, policy))


def may_decode(found: Measured, policy: Policy) -> bool:
    """Whether the header promises a picture that fits into memory and is worth decoding."""
    return 0 < found.width * found.height <= policy.max_pixels and found.frames == 1


def _size_faults(found: Measured, policy: Policy) -> Iterable[Verdict]:
    if found.bytes < policy.min_bytes:
        yield Verdict.FILE_TOO_SMALL
    if found.width * found.height > policy.max_pixels:
        yield Verdict.TOO_MANY_PIXELS


def _shape_faults(found: Measured, policy: Policy) -> Iterable[Verdict]:
    if found.frames > 1:
        yield Verdict.ANIMATED
    short, long = sorted((found.width, found.height))
    if 0 < short < policy.min_side:
        yield Verdict.TOO_FEW_PIXELS
    if short and long / short > policy.max_aspect:
        yield Verdict.ODD_SHAPE


def _look_faults(found: Measured, policy: Policy) -> Iterable[Verdict]:
    """Exposure first: a picture that shows nothing is called dark or flat, not blurry as well."""
    brightness, contrast = found.brightness or 0.0, found.contrast or 0.0
    if brightness < policy.min_brightness or (found.black or 0.0) > policy.max_black:
        yield Verdict.TOO_DARK
    elif brightness > policy.max_brightness or (found.white or 0.0) > policy.max_white:
        yield Verdict.TOO_BRIGHT
    elif contrast < policy.min_contrast:
        yield Verdict.FLAT
    elif (found.sharpness or 0.0) < policy.min_sharpness:
        yield Verdict.BLURRY


@dataclass(frozen=True, slots=True)
class Quota:
    """How many photos a run needs at least, and takes at most."""

    least: int
    most: int
