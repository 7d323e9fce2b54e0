"""What ingest keeps in the object store: originals, file names, small documents."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from lifemask.bus.rows import Rows
from lifemask.ingest.ports import IncomingMissing, OriginalMissing, PhotoSink
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore

_NAMES_LIMIT: Final = 1 << 20
"""Bytes of names.json: 100 names of 255 characters are below 150 KB."""
_NAMES_AT_ONCE: Final = 3
"""Each writing of names holds a database connection for two calls of the store; the pool is small."""


class StoredOriginals:
    """The port `Originals`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def receiving(self, user_id: str, run_id: str, photo_id: str) -> AbstractAsyncContextManager[PhotoSink]:
        return self._objects.writing(keys.original(user_id, run_id, photo_id))

    async def read(self, user_id: str, run_id: str, photo_id: str) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._objects.read(keys.original(user_id, run_id, photo_id)):
                yield chunk
        except ObjectMissing:
            raise OriginalMissing from None

    async def remove(self, user_id: str, run_id: str, photo_id: str) -> None:
        await self._objects.delete(keys.original(user_id, run_id, photo_id))

    async def keep_only(self, user_id: str, run_id: str, photo_ids: Collection[str]) -> None:
        kept = {keys.original(user_id, run_id, photo_id) for photo_id in photo_ids}
        found = [info.key async for info in self._objects.list(f"{keys.run_prefix(user_id, run_id)}original/")]
        for key in found:
            if key not in kept:
                await self._objects.delete(key)


class StoredIncoming:
    """The port `Incoming`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def size(self, user_id: str, upload: str, name: str) -> int | None:
        info = await self._objects.head(_incoming(user_id, upload, name))
        return info.bytes if info else None

    async def read(self, user_id: str, upload: str, name: str) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._objects.read(_incoming(user_id, upload, name)):
                yield chunk
        except ObjectMissing:
            raise IncomingMissing from None

    async def remove(self, user_id: str, upload: str, name: str) -> None:
        await self._objects.delete(_incoming(user_id, upload, name))


def _incoming(user_id: str, upload: str, name: str) -> keys.Key:
    app, _, user = user_id.partition(".")
    return keys.incoming(app, user, upload, name)


class StoredNames:
    """The port `Names`: one JSON object per run, changed by one writer at a time (a lock in the database)."""

    def __init__(self, objects: ObjectStore, rows: Rows) -> None:
        self._objects = objects
        self._rows = rows
        self._writers = asyncio.Semaphore(_NAMES_AT_ONCE)

    async def add(self, user_id: str, run_id: str, names: Mapping[str, str]) -> None:
        async with self._alone(user_id, run_id):
            await self._write(user_id, run_id, {**await self.read(user_id, run_id), **names})

    async def forget(self, user_id: str, run_id: str, photo_id: str) -> None:
        async with self._alone(user_id, run_id):
            known = await self.read(user_id, run_id)
            others = {key: name for key, name in known.items() if key != photo_id}
            if not others:
                await self._objects.delete(keys.names(user_id, run_id))
            elif others != known:
                await self._write(user_id, run_id, others)

    @asynccontextmanager
    async def _alone(self, user_id: str, run_id: str) -> AsyncIterator[None]:
        async with self._writers, self._rows.reading(user_id) as connection:
            await connection.execute("select pg_advisory_xact_lock(hashtextextended('names/' || $1, 0))", run_id)
            yield

    async def _write(self, user_id: str, run_id: str, names: Mapping[str, str]) -> None:
        await self._objects.put(keys.names(user_id, run_id), json.dumps(names, ensure_ascii=False).encode())

    async def read(self, user_id: str, run_id: str) -> Mapping[str, str]:
        try:
            body = await self._objects.get(keys.names(user_id, run_id), limit=_NAMES_LIMIT)
        except ObjectMissing:
            return {}
        found: dict[str, str] = json.loads(body)
        return found


class StoredPapers:
    """The port `Papers`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def keep_request(self, user_id: str, run_id: str, request: str) -> None:
        await self._objects.put(keys.request(user_id, run_id), request.encode())

    async def keep_contact(self, user_id: str, email: str) -> None:
        await self._objects.put(keys.contact(user_id), json.dumps({"email": email}).encode())
