"""Topic `lifemask.uploads`: published by upstream apps."""

import hashlib
from typing import Annotated, ClassVar

from pydantic import Field

from lifemask.contracts.event import RunEvent
from lifemask.contracts.ids import NAME_PATTERN
from lifemask.contracts.parameters import RunRequest
from lifemask.contracts.topics import Topic

ObjectName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]


class PhotosUploaded(RunEvent):
    """These objects in my incoming prefix are this user's photos; train them like this.

    The app mints the run id. Objects lie under `incoming/{app}/{user}/{upload}/`.
    """

    ce_type: ClassVar[str] = "lifemask.photos.uploaded.v1"
    topic: ClassVar[Topic] = Topic.UPLOADS

    upload: str = Field(pattern=NAME_PATTERN, examples=["upload-7"])
    """The app's name of this upload, the last folder of the prefix."""
    objects: tuple[ObjectName, ...] = Field(min_length=1, max_length=1000, examples=[("01.jpg", "02.jpg")])
    """Names of the objects below the prefix: no folders, no personal data, so not the names of the person's files."""
    request: RunRequest = Field(examples=[RunRequest(name="My portrait").model_dump()])
    """What the person chose. Stays in the event log: put no personal data into it."""


def photo_id_of(run_id: str, name: str) -> str:
    """The photo id that the object `name` of a run's upload gets: so an app knows which file a verdict is about.

    A UUIDv7 of the run's time, always the same for the same run and name.
    """
    value = bytearray(hashlib.sha256(f"{run_id}\0{name}".encode()).digest()[:16])
    value[:6] = bytes.fromhex(run_id.replace("-", "")[:12])
    value[6] = (value[6] & 0x0F) | 0x70
    value[8] = (value[8] & 0x3F) | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
