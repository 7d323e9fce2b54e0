"""A photo on its way into the originals, through whatever door: hashed and measured, whole or not at all."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from lifemask.ingest.domain.photos import sniff
from lifemask.ingest.ports import Custody, Originals

_HEAD: Final = 16


class TooLarge(Exception):
    """The file has more bytes than a photo may have; nothing of it stays."""


class Differs(Exception):
    """The file is another one than was announced; nothing of it stays."""


class TooSmall(Exception):
    """The file has fewer bytes than a photo must have; nothing of it stays."""


@dataclass(frozen=True, slots=True)
class Received:
    """What is known of an original that lies whole in the store."""

    sha256: str
    bytes: int
    media_type: str
    commitment: str


@dataclass(frozen=True, slots=True)
class Receiver:
    """Writes originals of `smallest` to `largest` bytes."""

    originals: Originals
    custody: Custody
    smallest: int
    largest: int

    async def receive(
        self, user_id: str, run_id: str, photo_id: str, chunks: AsyncIterator[bytes], *, sha256: str | None = None
    ) -> Received:
        """Streams one file, the one with `sha256` if that is said.

        Raises TooLarge, TooSmall, Differs, ChainSpoiled, and what the store or `chunks` raise.
        """
        digest, head, size = hashlib.sha256(), b"", 0
        async with self.originals.receiving(user_id, run_id, photo_id) as sink:
            async for chunk in chunks:
                size += len(chunk)
                if size > self.largest:
                    raise TooLarge
                head += chunk[: _HEAD - len(head)]
                digest.update(chunk)
                await sink.write(chunk)
            if size < self.smallest:
                raise TooSmall
            found = digest.hexdigest()
            if sha256 not in {None, found}:
                raise Differs
            return Received(found, size, sniff(head), await self.custody.commitment(user_id, run_id, found))
