"""An object read once, from the first byte to the last, hashed on the way."""

import hashlib
from collections.abc import AsyncIterator


class TapeEndedError(EOFError):
    """The object is shorter than it should be."""


class Tape:
    """Gives bytes in the order they come; never holds more than one chunk of the store and what was asked for."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._held = memoryview(b"")
        self._hash = hashlib.sha256()
        self.position = 0
        """Bytes given out so far."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything received so far; of the whole object after `rest`."""
        return self._hash.hexdigest()

    async def pour(self, size: int) -> AsyncIterator[memoryview]:
        """The next `size` bytes in pieces. Raises TapeEndedError when there are fewer."""
        while size:
            if not self._held and not await self._refill():
                raise TapeEndedError
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            self.position += len(piece)
            yield piece

    async def take(self, size: int) -> bytes:
        """The next `size` bytes as one; for headers."""
        return b"".join([bytes(piece) async for piece in self.pour(size)])

    async def rest(self) -> int:
        """Reads to the end and returns how many bytes were left."""
        start = self.position
        while self._held or await self._refill():
            self.position += len(self._held)
            self._held = memoryview(b"")
        return self.position - start

    async def _refill(self) -> bool:
        async for chunk in self._chunks:
            if chunk:
                self._hash.update(chunk)
                self._held = memoryview(chunk)
                return True
        return False
