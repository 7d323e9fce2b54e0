"""The model store: one folder per version and fence under the user's prefix."""

import hashlib
from collections.abc import AsyncIterator

from lifemask.contracts import Digest, Failure, ModelId, UserId
from lifemask.custody import CustodyBroken
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore
from lifemask.publisher.domain import Publication, Trained


class _OtherBytesError(Exception):
    """The run's weights are not the ones that the statement names."""

    def __init__(self, found: str) -> None:
        super().__init__()
        self.found = found


class StoredModels:
    """Models in an object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def key_of(self, publication: Publication) -> keys.Key:
        return keys.model_weights(publication.user_id, publication.model_id, publication.place)

    async def copy_weights(self, publication: Publication, trained: Trained) -> Failure | None:
        source = self._objects.read(keys.weights(publication.user_id, publication.run_id, trained.attempt))
        try:
            await self._copy(source, self.key_of(publication), trained.weights)
        except ObjectMissing:
            return CustodyBroken("weights: missing", expected=trained.weights).failure(publication.run_id)
        except _OtherBytesError as differ:
            broken = CustodyBroken("weights: differ", expected=trained.weights, found=differ.found)
            return broken.failure(publication.run_id)
        return None

    async def put_metadata(self, publication: Publication, document: bytes) -> None:
        key = keys.model_metadata(publication.user_id, publication.model_id, publication.place)
        await self._objects.put(key, document)

    async def read_back(self, publication: Publication) -> Digest | None:
        digest = hashlib.sha256()
        try:
            async for chunk in self._objects.read(self.key_of(publication)):
                digest.update(chunk)
        except ObjectMissing:
            return None
        return digest.hexdigest()

    async def remove(self, user_id: UserId, model_id: ModelId, *, but: str | None = None) -> None:
        kept = keys.model_prefix(user_id, model_id, but) if but else None
        found = [item.key async for item in self._objects.list(keys.model_versions(user_id, model_id))]
        for key in found:
            if kept is None or not key.startswith(kept):
                await self._objects.delete(key)

    async def _copy(self, source: AsyncIterator[bytes], target: keys.Key, expected: Digest) -> None:
        """The comparison comes before the end of the write, which alone makes the copy visible."""
        digest = hashlib.sha256()
        async with self._objects.writing(target) as writer:
            async for chunk in source:
                digest.update(chunk)
                await writer.write(chunk)
            if digest.hexdigest() != expected:
                raise _OtherBytesError(digest.hexdigest())
