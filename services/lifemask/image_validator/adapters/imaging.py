"""Decodes to the last pixel, measures, judges and cleans, in a bounded pool of threads."""

import asyncio
import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from PIL import Image, ImageFile

from lifemask.image_validator.adapters import heif
from lifemask.image_validator.adapters.cleaning import cleaned, draft_size, encoded, encoder_name
from lifemask.image_validator.adapters.heic import open_heic
from lifemask.image_validator.adapters.measuring import Looks, likeness_of, looks_of, luma_of
from lifemask.image_validator.adapters.recognition import declared_size, has_too_many_scans, recognise
from lifemask.image_validator.domain.photo import Examined, Kind, Measured, Policy, judge, may_decode

ImageFile.LOAD_TRUNCATED_IMAGES = False  # half a photo is no photo, whatever another library set
Image.MAX_IMAGE_PIXELS = None  # our own cap is exact and comes first; Pillow's only warns up to twice its limit


class PillowImaging:
    """Implements `Imaging`. Decoding releases the interpreter lock, so threads do.

    Memory is bounded by `threads` times the pixel cap (16 bytes a pixel for a WebP, whose decoder keeps two canvases;
    at most 11 for the others), and by the lanes at work times the byte limit for the files that wait.
    """

    def __init__(self, policy: Policy, pool: ThreadPoolExecutor) -> None:
        self._policy = policy
        self._pool = pool

    @property
    def encoder(self) -> str:
        return encoder_name()

    async def examine(self, data: bytes) -> Examined:
        return await asyncio.get_running_loop().run_in_executor(self._pool, examine, data, self._policy)


@contextmanager
def open_imaging(policy: Policy, threads: int) -> Iterator[PillowImaging]:
    """At most `threads` pictures are decoded at a time; the others wait as files."""
    with ThreadPoolExecutor(threads, thread_name_prefix="imaging") as pool:
        yield PillowImaging(policy, pool)


def examine(data: bytes, policy: Policy) -> Examined:
    """The judgement on one file. Whatever is wrong with the file is a verdict; only a lack of memory raises."""
    found = Measured(recognise(data), len(data))
    if len(data) > policy.max_bytes:
        return Examined(found, judge(found, policy))
    original = hashlib.sha256(data).hexdigest()
    if found.kind is Kind.OTHER or (found.kind is Kind.HEIC and not policy.heic):
        return Examined(found, judge(found, policy), original)
    try:
        return replace(_decoded(data, found, policy), original=original)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 # damaged files make decoders raise anything: each of it means "unreadable"
        return Examined(found, judge(found, policy), original)


def _decoded(data: bytes, found: Measured, policy: Policy) -> Examined:
    found = _declared(data, found)
    if (found.width or found.frames > 1) and not may_decode(found, policy):
        return Examined(found, judge(found, policy))
    with _opened(data, found.kind) as picture:
        found = _with_header(found, picture)
        if not may_decode(found, policy) or (found.kind is Kind.JPEG and has_too_many_scans(data)):
            return Examined(found, judge(found, policy))
        return _looked_at(picture, found, policy)


def _declared(data: bytes, found: Measured) -> Measured:
    """With what the file says about itself, as far as our own code reads it."""
    if found.kind is Kind.HEIC:
        size = heif.declared(data)
        return replace(found, width=size.width, height=size.height, frames=size.frames)
    width, height = declared_size(data, found.kind) or (0, 0)
    return replace(found, width=width, height=height)


def _opened(data: bytes, kind: Kind) -> Image.Image:
    if kind is Kind.HEIC:
        return open_heic(data)
    return Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"])


def _with_header(found: Measured, picture: Image.Image) -> Measured:
    """A JPEG or HEIC of several pictures is a phone's burst, depth or preview image: its main one counts."""
    frames = 1 if found.kind in {Kind.JPEG, Kind.HEIC} else int(getattr(picture, "n_frames", 1))
    return replace(found, width=picture.width, height=picture.height, frames=frames)


def _looked_at(picture: Image.Image, found: Measured, policy: Policy) -> Examined:
    try:
        if found.kind is Kind.JPEG:
            picture.draft(None, draft_size(picture.size, policy.clean_side))
        picture.load()
        clean = cleaned(picture, policy.clean_side)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 # as above, but the header's size is known
        return Examined(found, judge(found, policy))
    luma = luma_of(clean)
    found = _with_looks(found, looks_of(luma))
    if verdicts := judge(found, policy):
        return Examined(found, verdicts)
    return Examined(found, (), likeness=likeness_of(luma), clean=encoded(clean, policy.clean_quality))


def _with_looks(found: Measured, looks: Looks) -> Measured:
    return replace(
        found,
        decoded=True,
        sharpness=looks.sharpness,
        brightness=looks.brightness,
        black=looks.black,
        white=looks.white,
        contrast=looks.contrast,
    )
