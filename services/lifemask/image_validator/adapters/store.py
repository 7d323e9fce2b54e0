"""Originals, clean photos and verdicts in the object store."""

import json
from dataclasses import asdict

from lifemask.contracts import PhotoId, RunId, UserId
from lifemask.image_validator.domain.album import Photo
from lifemask.image_validator.domain.photo import Policy
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore


class StoredGallery:
    """Implements `Gallery`; keys are built by the library alone, so nothing leaves the user's prefix."""

    def __init__(self, objects: ObjectStore, policy: Policy) -> None:
        self._objects = objects
        self._policy = policy

    async def original(self, user_id: UserId, run_id: RunId, photo_id: PhotoId) -> bytes | None:
        data = bytearray()
        try:
            async for chunk in self._objects.read(
                keys.original(user_id, run_id, photo_id), end=self._policy.max_bytes + 1
            ):
                data += chunk
        except ObjectMissing:
            return None
        return bytes(data)

    async def keep_clean(self, photo: Photo, jpeg: bytes) -> None:
        await self._objects.put(keys.clean(photo.user_id, photo.run_id, photo.photo_id), jpeg)

    async def forget(self, photo: Photo) -> None:
        await self._objects.delete(keys.clean(photo.user_id, photo.run_id, photo.photo_id))

    async def keep_verdict(self, photo: Photo) -> None:
        key = keys.verdict(photo.user_id, photo.run_id, photo.photo_id)
        await self._objects.put(key, document_of(photo, self._policy))


def document_of(photo: Photo, policy: Policy) -> bytes:
    """The judgement as JSON: the same judgement has the same bytes."""
    document = {
        "photo_id": photo.photo_id,
        "usable": photo.usable,
        "verdicts": list(photo.verdicts),
        "similar_to": photo.similar_to,
        "measured": asdict(photo.measured),
        "thresholds": asdict(policy),
        "policy": policy.digest,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
