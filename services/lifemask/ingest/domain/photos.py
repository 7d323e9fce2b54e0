"""One photo of a run: what is known of it, what an upload of it may be answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from lifemask.contracts import PhotoId, Verdict, sentence
from lifemask.contracts.runs import Door


class PhotoStatus(StrEnum):
    """Whether a photo counts."""

    PENDING = "pending"
    USABLE = "usable"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Photo:
    """An original. `bytes` is its size, `usable` None until it is judged.

    `here`: it lies in the store; False of a photo that is still to be copied from an earlier run.
    """

    id: str
    sha256: str
    bytes: int
    media_type: str
    received_at: datetime
    usable: bool | None = None
    verdicts: tuple[str, ...] = ()
    similar_to: str | None = None
    door: Door = "http"
    here: bool = True

    @property
    def status(self) -> PhotoStatus:
        """Pending until a verdict came."""
        if self.usable is None:
            return PhotoStatus.PENDING
        return PhotoStatus.USABLE if self.usable else PhotoStatus.REJECTED


class Shown(BaseModel):
    """A value as the API shows it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class VerdictView(Shown):
    """Why a photo cannot be used, and what to do."""

    code: str = Field(examples=["blurry"])
    sentence: str


class PhotoView(Shown):
    """A photo as its owner sees it."""

    id: PhotoId
    name: str | None = None
    """The person's own file name, when one was given."""
    status: PhotoStatus
    bytes: int
    """Size of the original."""
    media_type: str
    """By the first bytes; informative, the verdict decides."""
    received_at: datetime
    verdicts: tuple[VerdictView, ...] = ()
    similar_to: PhotoId | None = None
    """With the verdict `duplicate`: the photo of this run that it resembles."""


class UploadStatus(StrEnum):
    """What became of one uploaded file."""

    RECEIVED = "received"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class PhotoResult(Shown):
    """The answer to one uploaded file. `code`, `sentence` and `next_step` speak when it was not simply received."""

    name: str
    photo_id: PhotoId | None = None
    status: UploadStatus
    code: str | None = None
    sentence: str | None = None
    next_step: str | None = None


def show_photo(photo: Photo, name: str | None = None) -> PhotoView:
    """The photo for its owner."""
    return PhotoView(
        id=photo.id,
        name=name,
        status=photo.status,
        bytes=photo.bytes,
        media_type=photo.media_type,
        received_at=photo.received_at,
        verdicts=tuple(VerdictView(code=code, sentence=sentence(code)) for code in photo.verdicts),
        similar_to=photo.similar_to,
    )


def received(name: str, photo_id: str) -> PhotoResult:
    """The file is a new photo of the run."""
    return PhotoResult(name=name, photo_id=photo_id, status=UploadStatus.RECEIVED)


def same_again(name: str, photo_id: str) -> PhotoResult:
    """The file's bytes are a photo of this run already."""
    return PhotoResult(
        name=name,
        photo_id=photo_id,
        status=UploadStatus.DUPLICATE,
        code="same_file",
        sentence="This very file is in this run already; it counts once.",
        next_step="Choose another photo if you need more.",
    )


def too_large(name: str, limit: int) -> PhotoResult:
    """The file is larger than `limit` bytes."""
    return _unfit(name, Verdict.FILE_TOO_LARGE, f"A photo may have up to {limit // 1_000_000} MB.")


def too_small(name: str, limit: int) -> PhotoResult:
    """The file is smaller than `limit` bytes."""
    return _unfit(name, Verdict.FILE_TOO_SMALL, f"A photo must have at least {limit // 1000} KB.")


def too_many(name: str, limit: int) -> PhotoResult:
    """The run holds `limit` photos already."""
    return _refused(
        name,
        "too_many_photos",
        f"A run holds at most {limit} photos.",
        "Remove a photo of the run before you add this one.",
    )


def closed(name: str) -> PhotoResult:
    """The run was submitted or ended while the file was on its way."""
    return _refused(name, "not_a_draft", "The run takes no more photos.", "Start a new run for further photos.")


def no_address(name: str) -> PhotoResult:
    """The URL is no public https address."""
    return _refused(
        name,
        "url_refused",
        "This address is not fetched: it must be https on a public server.",
        "Send the file itself, or an https URL that anybody can open.",
    )


def not_fetched(name: str) -> PhotoResult:
    """The URL did not give the file."""
    return _refused(
        name,
        "url_failed",
        "The file could not be fetched from its address.",
        "Check that the URL opens without signing in and send it again, or send the file itself.",
    )


def _unfit(name: str, verdict: Verdict, next_step: str) -> PhotoResult:
    return _refused(name, verdict.value, sentence(verdict), next_step)


def _refused(name: str, code: str, why: str, next_step: str) -> PhotoResult:
    return PhotoResult(name=name, status=UploadStatus.REFUSED, code=code, sentence=why, next_step=next_step)


_SIGNATURES: Final[Sequence[tuple[int, bytes, str]]] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftypmif1", "image/heic"),
    (0, b"GIF8", "image/gif"),
)


def sniff(head: bytes) -> str:
    """The media type by the first bytes (16 suffice); says nothing about whether it can be decoded."""
    for offset, signature, name in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name
    return "application/octet-stream"


def plain_name(name: str) -> str:
    """A person's file name without folders and control characters, at most 255 characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:255] or "photo"
