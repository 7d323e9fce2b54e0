"""Targets in the incoming prefix, and the taking of what is put to token URLs of ours."""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from lifemask.ingest.adapters.links import opened
from lifemask.ingest.domain.targets import Slot
from lifemask.ingest.ports import Address, LinkUnknown, NotAsAnnounced, Promised, SlotTaken
from lifemask.objects import keys
from lifemask.objects.port import ObjectExists, ObjectStore
from lifemask.objects.targets import Expected, PresignedTargets, TokenTargets, expected_of, headers_of
from lifemask.objects.tokens import BadToken, Tokens


class StoredTargets:
    """The port `Targets`: a store that signs its own addresses does so; for any other we take the bytes."""

    def __init__(self, objects: ObjectStore, tokens: Tokens, public_url: str) -> None:
        self._objects = objects
        self._tokens = tokens
        self._source = objects if isinstance(objects, PresignedTargets) else TokenTargets(tokens, public_url)

    async def address(self, slot: Slot, life: timedelta) -> Address:
        app, _, user = slot.user_id.partition(".")
        key = keys.incoming(app, user, slot.run_id, slot.photo_id)
        target = await self._source.target(Expected(key, slot.bytes, slot.sha256, slot.media_type), life)
        return Address(target.url, target.headers)

    def promised(self, token: str, now: datetime) -> Promised:
        try:
            expected = expected_of(opened(self._tokens, token, now))
        except BadToken:
            raise LinkUnknown from None
        return Promised(expected.key, expected.bytes, expected.sha256, headers_of(expected))

    async def take(self, promised: Promised, chunks: AsyncIterator[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            async with self._objects.writing(keys.Key(promised.key), create_only=True) as sink:
                async for chunk in chunks:
                    size += len(chunk)
                    digest.update(chunk)
                    await sink.write(chunk)
                if size != promised.bytes or digest.hexdigest() != promised.sha256:
                    raise NotAsAnnounced
        except ObjectExists:
            raise SlotTaken from None
