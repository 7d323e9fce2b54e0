"""Archives in the store, named by the tokens that the trainer mints."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime

from lifemask.ingest.adapters.links import opened
from lifemask.ingest.domain.archives import Sealed
from lifemask.objects.archives import archive_of
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectMissing, ObjectStore
from lifemask.objects.tokens import BadToken, Tokens


class TokenArchives:
    """The port `Archives`."""

    def __init__(self, objects: ObjectStore, tokens: Tokens) -> None:
        self._objects = objects
        self._tokens = tokens

    def named(self, token: str, now: datetime) -> Sealed | None:
        try:
            archive = archive_of(opened(self._tokens, token, now))
        except BadToken:
            return None
        user_id, run_id = archive.owner
        return Sealed(archive.key, user_id, run_id, archive.attempt, archive.bytes, archive.sha256)

    async def size(self, sealed: Sealed) -> int | None:
        info = await self._objects.head(Key(sealed.key))
        return info.bytes if info else None

    async def read(self, sealed: Sealed) -> AsyncGenerator[bytes, None]:
        with suppress(ObjectMissing):  # taken away since its size was asked: too short, and seen as such
            async for chunk in self._objects.read(Key(sealed.key), end=sealed.bytes + 1):
                yield chunk
