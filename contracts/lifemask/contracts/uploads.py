"""Topic `lifemask.uploads`: published by upstream apps."""

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
