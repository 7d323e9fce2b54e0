"""An upload that an app announced: what it names, and why it may not be accepted."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from lifemask.contracts import Failure, FailureCode, PhotosUploaded, RunRejected, RunRequest
from lifemask.contracts.ids import NAME_PATTERN
from lifemask.ingest.domain.texts import unshowable

UNREADABLE: Final = RunRequest(name="Refused upload").model_dump_json()
"""What is shown as the wish of an upload whose event cannot be read."""
_NAMED: Final = 3
_NAME_SHOWN: Final = 64
_REASON: Final = 420
"""Characters; the sentence around a reason must stay below 500."""


def objects_of(event: PhotosUploaded) -> tuple[str, ...]:
    """The names in the app's order, each once."""
    return tuple(dict.fromkeys(event.objects))


def upload_named_in(body: bytes) -> str | None:
    """The upload that an event names which otherwise does not fit; None when that cannot be read either."""
    try:
        return _UploadAlone.model_validate_json(body).upload
    except ValidationError:
        return None


class _UploadAlone(BaseModel):
    upload: str = Field(pattern=NAME_PATTERN)


def content_of(event: PhotosUploaded) -> str:
    """SHA-256 of what the event says: the same for the same event under another id."""
    return hashlib.sha256(event.body()).hexdigest()


def refused(user_id: str, run_id: str, reason: str, objects: int = 0) -> RunRejected:
    """The run's end when its upload cannot be accepted; `reason` ends without a full stop."""
    failure = Failure.of(FailureCode.UPLOAD_REFUSED, reason=reason[:_REASON].rstrip("."))
    return RunRejected(user_id=user_id, run_id=run_id, failure=failure, received=objects, usable=0, needed=0)


def too_few(user_id: str, run_id: str, photos: int, minimum: int, received: int) -> RunRejected:
    """The run's end when `photos` of the `received` files can turn out usable, and that is less than `minimum`."""
    needed = minimum - photos
    failure = Failure.of(FailureCode.TOO_FEW_USABLE, usable=photos, received=received, minimum=minimum, needed=needed)
    return RunRejected(user_id=user_id, run_id=run_id, failure=failure, received=received, usable=photos, needed=needed)


def find_refusal(event: PhotosUploaded, *, taken: bool, minimum: int, maximum: int) -> RunRejected | None:
    """Why the event cannot be accepted, whatever lies in the store. `taken`: another run has this upload."""
    objects = objects_of(event)
    if taken:
        return refused(*_run(event), "another run took this upload over before; an upload makes one run", len(objects))
    if wrong := unshowable(event.request):
        return refused(*_run(event), f"control characters in request.{', request.'.join(wrong)}", len(objects))
    if len(objects) > maximum:
        return refused(
            *_run(event), f"{len(objects)} objects are named, and a run takes at most {maximum}", len(objects)
        )
    if len(objects) < minimum:
        return too_few(*_run(event), len(objects), minimum, len(objects))
    return None


def find_unfit(sizes: Mapping[str, int | None], smallest: int, largest: int) -> str | None:
    """What is wrong with the objects of an upload, by their names: the app's, never a person's. None when all is well.

    A size is bytes, or None for an object that is not there.
    """
    missing = [name for name, size in sizes.items() if size is None]
    large = [name for name, size in sizes.items() if size is not None and size > largest]
    small = [name for name, size in sizes.items() if size is not None and size < smallest]
    found = [
        _said(missing, "not in the incoming prefix"),
        _said(large, f"larger than {largest} bytes"),
        _said(small, f"smaller than {smallest} bytes"),
    ]
    return "; ".join(filter(None, found)) or None


def _said(names: Sequence[str], what: str) -> str:
    if not names:
        return ""
    shown = ", ".join(name[:_NAME_SHOWN] for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what}: {shown}{more}"


def _run(event: PhotosUploaded) -> tuple[str, str]:
    return event.user_id, event.run_id
