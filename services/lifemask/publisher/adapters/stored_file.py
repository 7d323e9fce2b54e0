"""An object of the store as the seekable file that a blocking client wants: no copy on disk, memory flat."""

import asyncio
import io
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING, Final

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import FailureCode
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectStore

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class StoredFile(io.RawIOBase):
    """Read from a thread, buffered by `BLOCK`; the reads themselves run in the event loop that made it."""

    BLOCK: Final = 4 << 20
    """Bytes per ranged read: one request to the store each, 41 for weights of 172 MB."""

    def __init__(self, objects: ObjectStore, key: Key, size: int, *, patience: float) -> None:
        self._objects = objects
        self._key = key
        self._size = size
        self._patience = patience
        self._position = 0
        self._abandoned = False
        self._loop = asyncio.get_running_loop()

    def abandon(self) -> None:
        """Ends a client that goes on reading after nobody waits for it any more. Closing would wait for its read,
        which waits for this loop.
        """
        self._abandoned = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if self._abandoned:
            raise Retryable(FailureCode.HUB_UNAVAILABLE)
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        data = self._fetch(self._position, end)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _fetch(self, start: int, end: int) -> bytes:
        future = asyncio.run_coroutine_threadsafe(self._collect(start, end), self._loop)
        try:
            return future.result(self._patience)
        except NotInTime as error:
            future.cancel()
            raise Retryable(FailureCode.STORE_UNAVAILABLE) from error

    async def _collect(self, start: int, end: int) -> bytes:
        data = bytearray()
        async for chunk in self._objects.read(self._key, start=start, end=end):
            data += chunk
        return bytes(data)
