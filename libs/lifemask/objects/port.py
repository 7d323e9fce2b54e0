"""The port of the object store: photos, archives, weights and statements live behind it.

Adapters: `S3Objects` (S3 and R2), `LocalObjects` (a directory), `InMemoryObjects` (test kit). All raise the bus's
own exceptions: Retryable(STORE_UNAVAILABLE) when the store is away or slow, Misconfigured(STORE_DENIED) when it
refuses us, with the permission named ("s3:GetObject denied on …"), and BadKey for a key that is none. Sizes are bytes.

After a lost reply a client repeats its request, so ObjectExists does not prove that somebody else wrote the object:
whoever writes create-only compares what is there.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from lifemask.objects.keys import Key

CHUNK: Final = 1 << 20
"""Largest chunk of a read, in bytes."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Seconds, tries per request (the lane's own retries come on top) and connections of one client."""

    connect_timeout: float = 5
    read_timeout: float = 30
    """Between two pieces of an answer."""
    request_timeout: float = 60
    """For a request and the head of its answer, with the wait for a free connection; what has a body gets more."""
    tries: int = 3
    connections: int = 250
    """More than what may wait for a store at once: 64 archives, 64 uploads, 16 lanes with three parts each."""


class ObjectMissing(LookupError):
    """There is no such object. The text names no key: keys carry user ids."""


class ObjectExists(ValueError):
    """A create-only write met an object of that key."""


class ObjectTooLarge(ValueError):
    """The object is larger than the caller's limit."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as the store lists it."""

    key: Key
    bytes: int
    modified_at: datetime


class ObjectWriter(Protocol):
    """A streaming write in progress. Nothing is visible under the key until the `writing` block ends without error."""

    async def write(self, chunk: bytes) -> None:
        """Appends; waits while the store is slower than the caller (back-pressure, bounded memory)."""


class Absent(StrEnum):
    """Why an object gives no bytes."""

    MISSING = "missing"
    TOO_LARGE = "too large"


File = bytes | Absent


class ObjectStore(Protocol):
    """Whole objects under keys of `lifemask.objects.keys`. No key is the folder of another one."""

    async def put(self, key: Key, data: bytes, *, create_only: bool = False) -> None:
        """Stores a small object at once, atomically. Raises ObjectExists with `create_only` and an existing key."""

    def writing(self, key: Key, *, create_only: bool = False) -> AbstractAsyncContextManager[ObjectWriter]:
        """Streams a large object in; an error inside the block leaves nothing behind."""

    async def get(self, key: Key, *, limit: int) -> bytes:
        """A small object whole. Raises ObjectMissing, ObjectTooLarge above `limit` bytes."""

    async def get_each(self, keys: Iterable[Key], *, limit: int) -> dict[Key, File]:
        """Several small objects at once, each as of its own moment; those of which there are no bytes say why."""

    def read(self, key: Key, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Streams bytes `start` to `end` (exclusive), in chunks of at most 1 MiB. Raises ObjectMissing.

        A range beyond the object's end yields what there is of it, possibly nothing.
        """

    async def head(self, key: Key) -> ObjectInfo | None:
        """Size and time, or None when there is no such object."""

    async def delete(self, key: Key) -> None:
        """Removes the object; one that is not there is fine."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects whose key starts with `prefix` (which may end within a name), in key order."""
