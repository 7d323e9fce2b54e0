"""The object store in memory, with the faults that tests need."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final
from urllib.parse import SplitResult

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.objects.keys import Key, folder_of, parts, place
from lifemask.objects.opening import OPENERS
from lifemask.objects.port import (
    CHUNK,
    Absent,
    File,
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    ObjectStore,
    ObjectTooLarge,
    ObjectWriter,
    StoreLimits,
)

PERMISSIONS: Final = frozenset({"GetObject", "PutObject", "DeleteObject", "ListBucket"})


@dataclass(frozen=True, slots=True)
class _Stored:
    data: bytes
    modified_at: datetime


class InMemoryObjects:
    """An ObjectStore. `away`, `denies`, `loses` and `tampers` switch faults on; `heals` switches all of them off.

    `open_objects("memory://name")` gives the one of that name, the same everywhere in the process.
    """

    _named: ClassVar[dict[str, "InMemoryObjects"]] = {}

    def __init__(self) -> None:
        self._objects: dict[Key, _Stored] = {}
        self._away = False
        self._denied: set[str] = set()
        self._lost: set[Key] = set()
        self._tampered: set[Key] = set()

    @classmethod
    def named(cls, name: str) -> "InMemoryObjects":
        """The store behind `memory://name`."""
        return cls._named.setdefault(name, cls())

    def away(self) -> None:
        """From now on every call raises Retryable."""
        self._away = True

    def denies(self, *permissions: str) -> None:
        """From now on calls that need one of `permissions` ("GetObject" …) raise Misconfigured."""
        unknown = set(permissions) - PERMISSIONS
        if unknown:
            raise ValueError(f"no such permission: {', '.join(sorted(unknown))}")
        self._denied |= set(permissions)

    def loses(self, key: Key) -> None:
        """From now on there is no such object, also when it is written later."""
        self._lost.add(key)

    def tampers(self, key: Key) -> None:
        """From now on reads give other bytes of the same size, also when it is written later."""
        self._tampered.add(key)

    def heals(self) -> None:
        """All faults off; what was lost or tampered with is as it was written."""
        self._away = False
        for faults in (self._denied, self._lost, self._tampered):
            faults.clear()

    @property
    def keys(self) -> tuple[Key, ...]:
        """What is there, in key order."""
        return tuple(sorted(self._objects.keys() - self._lost))

    async def put(self, key: Key, data: bytes, *, create_only: bool = False) -> None:
        await self._step("PutObject", key)
        self._store(key, data, create_only=create_only)

    @asynccontextmanager
    async def writing(self, key: Key, *, create_only: bool = False) -> AsyncIterator[ObjectWriter]:
        await self._step("PutObject", key)
        writer = _Writer(self, key)
        yield writer
        await self._step("PutObject", key)
        self._store(key, bytes(writer.data), create_only=create_only)

    async def get(self, key: Key, *, limit: int) -> bytes:
        await self._step("GetObject", key)
        data = self._data(key)
        if len(data) > limit:
            raise ObjectTooLarge(f"an object exceeds the limit of {limit} bytes")
        return data

    async def get_each(self, keys: Iterable[Key], *, limit: int) -> dict[Key, File]:
        found: dict[Key, File] = {}
        for key in keys:
            try:
                found[key] = await self.get(key, limit=limit)
            except ObjectMissing:
                found[key] = Absent.MISSING
            except ObjectTooLarge:
                found[key] = Absent.TOO_LARGE
        return found

    async def read(self, key: Key, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        await self._step("GetObject", key)
        data = self._data(key)[start:end]
        for offset in range(0, len(data), CHUNK):
            yield data[offset : offset + CHUNK]
            await self._step("GetObject", key)

    async def head(self, key: Key) -> ObjectInfo | None:
        await self._step("GetObject", key)
        return self._info(key)

    async def delete(self, key: Key) -> None:
        await self._step("DeleteObject", key)
        self._objects.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        await self._step("ListBucket", Key(prefix), whole=False)
        for key in self.keys:
            if key.startswith(prefix) and (info := self._info(key)):
                yield info

    async def _step(self, permission: str, key: Key, *, whole: bool = True) -> None:
        """Lets others run, as a real store would, and raises the fault that is switched on."""
        parts(key) if whole else folder_of(key)
        await asyncio.sleep(0)
        if self._away:
            raise Retryable(FailureCode.STORE_UNAVAILABLE)
        if permission in self._denied:
            raise Misconfigured(FailureCode.STORE_DENIED, f"s3:{permission} denied on memory/{place(key)}")

    def _store(self, key: Key, data: bytes, *, create_only: bool) -> None:
        if create_only and key in self._objects:
            raise ObjectExists("an object of this key exists")
        self._objects[key] = _Stored(data, datetime.now(UTC))

    def _data(self, key: Key) -> bytes:
        if key in self._lost or key not in self._objects:
            raise ObjectMissing("there is no such object")
        data = self._objects[key].data
        return data[:-1] + bytes([data[-1] ^ 1]) if key in self._tampered and data else data

    def _info(self, key: Key) -> ObjectInfo | None:
        if key in self._lost or key not in self._objects:
            return None
        stored = self._objects[key]
        return ObjectInfo(key, len(stored.data), stored.modified_at)


class _Writer:
    def __init__(self, objects: InMemoryObjects, key: Key) -> None:
        self._objects = objects
        self._key = key
        self.data = bytearray()

    async def write(self, chunk: bytes) -> None:
        await self._objects._step("PutObject", self._key)  # noqa: SLF001 # one class in two parts
        self.data += chunk


@asynccontextmanager
async def _opened(url: SplitResult, _limits: StoreLimits) -> AsyncIterator[ObjectStore]:
    yield InMemoryObjects.named(url.netloc)


OPENERS["memory"] = _opened
