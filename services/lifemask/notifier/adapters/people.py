"""What a person told us, from the user's own part of the object store, where it can be erased."""

import json
from email.errors import MessageError
from email.headerregistry import Address

from lifemask.contracts import RunId, RunRequest, UserId
from lifemask.contracts.event import ValidationError
from lifemask.notifier.letter import Called
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore, ObjectTooLarge

_CONTACT_LIMIT = 4096
"""Bytes; an address has at most 254."""
_REQUEST_LIMIT = 1 << 20
"""Bytes; a request of the contract's limits is below 20 KB."""


class StoredPeople:
    """People in an object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def address(self, user_id: UserId) -> str | None:
        body = await self._read(keys.contact(user_id), _CONTACT_LIMIT)
        return address_in(body) if body else None

    async def called(self, user_id: UserId, run_id: RunId) -> Called:
        body = await self._read(keys.request(user_id, run_id), _REQUEST_LIMIT)
        try:
            request = RunRequest.read(body) if body else None
        except ValidationError:
            request = None
        return Called(request.name, request.trigger_word) if request else Called()

    async def _read(self, key: keys.Key, limit: int) -> bytes | None:
        try:
            return await self._objects.get(key, limit=limit)
        except (ObjectMissing, ObjectTooLarge):
            return None


def address_in(body: bytes) -> str | None:
    """The address in contact.json; None when it is none that a mail can be sent to."""
    try:
        text = json.loads(body)["email"]
        address = Address(addr_spec=text)
    except (ValueError, KeyError, TypeError, IndexError, MessageError):
        return None
    return text if address.domain and text.isprintable() and address.addr_spec == text and len(text) <= 254 else None
