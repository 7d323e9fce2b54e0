"""What the person chose, as it was sealed with the upload."""

from typing import Final

from lifemask.contracts import RunRequest
from lifemask.contracts.event import ValidationError
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.statements import digest_of
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore, ObjectTooLarge

_LIMIT: Final = 1 << 20
"""Bytes; a request of the contract's limits is below 20 KB."""


async def sealed_request(objects: ObjectStore, user_id: str, run_id: str, expected: str) -> RunRequest:
    """The run's request.json with this SHA-256. Raises CustodyBroken."""
    try:
        body = await objects.get(keys.request(user_id, run_id), limit=_LIMIT)
    except ObjectMissing:
        raise CustodyBroken("request: missing", expected=expected) from None
    except ObjectTooLarge:
        raise CustodyBroken("request: too large", expected=expected) from None
    if (found := digest_of(body)) != expected:
        raise CustodyBroken("request: differs", expected=expected, found=found)
    try:
        return RunRequest.read(body)
    except ValidationError:
        raise CustodyBroken("request: unreadable", expected=expected, found=found) from None
