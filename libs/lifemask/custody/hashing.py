"""Size and SHA-256 of a stream, taken while it passes."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator


class Hashed:
    """`async for chunk in Hashed(chunks)` passes the chunks on; `bytes` and `sha256` are of what has passed so far."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        return self._hash.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._hash.update(chunk)
            self.bytes += len(chunk)
            yield chunk

    async def drain(self) -> "Hashed":
        """Reads to the end, for whoever wants the digest alone."""
        async for _ in self:
            pass
        return self
