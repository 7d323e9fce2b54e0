"""`LocalObjects`: the object store of one machine, a directory. Chosen by an explicit setting, never a fallback."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.objects.keys import Key, folder_of, place
from lifemask.objects.local_files import Tree, create, finish
from lifemask.objects.port import CHUNK, Absent, File, ObjectInfo, ObjectMissing, ObjectTooLarge, ObjectWriter

_PASSING: Final = frozenset(
    {
        errno.EFBIG,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""The disk is broken or busy: the same call may succeed later."""
_PAGE: Final = 500
"""Objects that one look at the disk lists."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class LocalObjects:
    """Objects as files below `root`, private to the account of the services."""

    def __init__(self, root: Path) -> None:
        with _translated("making", ""):
            self._tree = Tree(root)

    async def put(self, key: Key, data: bytes, *, create_only: bool = False) -> None:
        await asyncio.to_thread(self._put, key, data, create_only)

    @asynccontextmanager
    async def writing(self, key: Key, *, create_only: bool = False) -> AsyncIterator[ObjectWriter]:
        writer = _Writer(self._tree, key)
        try:
            yield writer
            await asyncio.to_thread(writer.publish, create_only)
        except BaseException:
            await asyncio.to_thread(writer.discard)
            raise

    async def get(self, key: Key, *, limit: int) -> bytes:
        return await asyncio.to_thread(self._get, key, limit)

    async def get_each(self, keys: Iterable[Key], *, limit: int) -> dict[Key, File]:
        return await asyncio.to_thread(lambda: {key: self._file(key, limit) for key in keys})  # one thread, asked once

    async def read(self, key: Key, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(self._open, key, start)
        try:
            left = None if end is None else max(0, end - start)
            while chunk := await asyncio.to_thread(_next, file, key, left):
                left = None if left is None else left - len(chunk)
                yield chunk
        finally:
            file.close()

    async def head(self, key: Key) -> ObjectInfo | None:
        return await asyncio.to_thread(self._head, key)

    async def delete(self, key: Key) -> None:
        await asyncio.to_thread(self._delete, key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        found = self._walk(folder_of(prefix), prefix)
        while page := await asyncio.to_thread(lambda: tuple(islice(found, _PAGE))):
            for info in page:
                yield info

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        for key, info in self._folder(folder):
            if not key.startswith(prefix):
                continue
            if info is not None:
                yield info
            else:
                yield from self._walk(key, prefix)

    def _put(self, key: Key, data: bytes, create_only: bool) -> None:  # noqa: FBT001 # positional through to_thread
        writer = _Writer(self._tree, key)
        try:
            writer.append(data)
            writer.publish(create_only)
        except BaseException:
            writer.discard()
            raise

    def _get(self, key: Key, limit: int) -> bytes:
        with _translated("reading", key), self._tree.open(key) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ObjectTooLarge(f"an object exceeds the limit of {limit} bytes")
        return data

    def _file(self, key: Key, limit: int) -> File:
        try:
            return self._get(key, limit)
        except ObjectMissing:
            return Absent.MISSING
        except ObjectTooLarge:
            return Absent.TOO_LARGE

    def _open(self, key: Key, start: int) -> BinaryIO:
        with _translated("reading", key):
            file = self._tree.open(key)
            file.seek(start)
            return file

    def _head(self, key: Key) -> ObjectInfo | None:
        with _translated("reading", key):
            return self._tree.head(key)

    def _delete(self, key: Key) -> None:
        with _translated("deleting", key):
            self._tree.delete(key)

    def _folder(self, key: str) -> Sequence[tuple[str, ObjectInfo | None]]:
        with _translated("listing", key):
            return self._tree.folder(key)


class _Writer:
    """A part that becomes an object. Gathers small chunks, so that a thread is asked once per MiB."""

    def __init__(self, tree: Tree, key: Key) -> None:
        tree.path(key)
        self._tree = tree
        self._key = key
        self._part = tree.part()
        self._file: BinaryIO | None = None
        self._buffer = bytearray()

    async def write(self, chunk: bytes) -> None:
        self._buffer += chunk
        if len(self._buffer) >= CHUNK:
            data, self._buffer = self._buffer, bytearray()
            await asyncio.to_thread(self.append, data)

    def append(self, data: bytes | bytearray) -> BinaryIO:
        with _translated("writing", self._key):
            if self._file is None:
                self._file = create(self._part)
            self._file.write(data)
            return self._file

    def publish(self, create_only: bool) -> None:  # noqa: FBT001 # positional through to_thread
        file = self.append(self._buffer)
        with _translated("writing", self._key):
            finish(file)
            self._tree.publish(self._part, self._key, create_only=create_only)

    def discard(self) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def _next(file: BinaryIO, key: Key, left: int | None) -> bytes:
    with _translated("reading", key):
        return file.read(CHUNK if left is None else min(CHUNK, left))


@contextmanager
def _translated(doing: str, key: str) -> Iterator[None]:
    """The system's errors in the words of the port; no path, since it names the user."""
    try:
        yield
    except OSError as error:
        if doing == "reading" and error.errno in _MISSING:
            raise ObjectMissing("there is no such object") from None
        raise translated(error, doing, key) from None


def translated(error: OSError, doing: str, key: str) -> Exception:
    """What an error of the operating system means to a caller of the store."""
    if error.errno in _PASSING:
        return Retryable(FailureCode.STORE_UNAVAILABLE)
    if error.errno in _FULL:
        return Misconfigured(FailureCode.STORE_FULL, "the disk of the objects directory is full: make room on it")
    where = f"the objects directory ({place(key)})" if key else "the objects directory"
    if error.errno in _DENIED:
        return Misconfigured(
            FailureCode.STORE_DENIED, f"{doing} denied in {where}; it must belong to the services' account"
        )
    reason = errno.errorcode.get(error.errno or 0, "unknown error")
    return Misconfigured(FailureCode.STORE_DENIED, f"{doing} fails in {where}: {reason}")
