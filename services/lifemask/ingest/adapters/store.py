"""What ingest keeps in the object store: originals, file names, small documents; and the deleting of leftovers."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from lifemask.bus.outcomes import Misconfigured
from lifemask.bus.rows import Rows
from lifemask.ingest.ports import Cleared, PhotoSink
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore

_LOG: Final = structlog.get_logger(__name__)
_NAMES_LIMIT: Final = 1 << 20
"""Bytes of names.json: 100 names of 255 characters are below 150 KB."""
_NAMES_AT_ONCE: Final = 3
"""Each writing of names holds a database connection for two calls of the store; the pool is small."""
_WORK: Final = ("clean", "archive", "weights")


class StoredOriginals:
    """The port `Originals`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def receiving(self, user_id: str, run_id: str, photo_id: str) -> AbstractAsyncContextManager[PhotoSink]:
        return self._objects.writing(keys.original(user_id, run_id, photo_id))

    async def remove(self, user_id: str, run_id: str, photo_id: str) -> None:
        await self._objects.delete(keys.original(user_id, run_id, photo_id))


class StoredNames:
    """The port `Names`: one JSON object per run, changed by one writer at a time (a lock in the database)."""

    def __init__(self, objects: ObjectStore, rows: Rows) -> None:
        self._objects = objects
        self._rows = rows
        self._writers = asyncio.Semaphore(_NAMES_AT_ONCE)

    async def add(self, user_id: str, run_id: str, names: Mapping[str, str]) -> None:
        async with self._writers, self._rows.reading(user_id) as connection:
            await connection.execute("select pg_advisory_xact_lock(hashtextextended('names/' || $1, 0))", run_id)
            known = await self.read(user_id, run_id)
            body = json.dumps({**known, **names}, ensure_ascii=False).encode()
            await self._objects.put(keys.names(user_id, run_id), body)

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


class StoredLeftovers:
    """The port `Leftovers`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def clear_work(self, user_id: str, run_id: str) -> Sequence[Cleared]:
        return [await self._clear(user_id, run_id, what, f"{what}/") for what in _WORK]

    async def clear_originals(self, user_id: str, run_id: str) -> Sequence[Cleared]:
        return [
            await self._clear(user_id, run_id, "original", "original/"),
            await self._clear(user_id, run_id, "names", "names.json"),
        ]

    async def _clear(self, user_id: str, run_id: str, what: str, place: str) -> Cleared:
        objects = size = 0
        try:
            async for info in self._objects.list(keys.run_prefix(user_id, run_id) + place):
                await self._objects.delete(info.key)
                objects, size = objects + 1, size + info.bytes
        except Misconfigured as refused:
            _LOG.warning("temporary objects cannot be deleted", run=run_id, what=what, problem=refused.detail)
            return Cleared(what, objects, size, denied=True)
        return Cleared(what, objects, size)
