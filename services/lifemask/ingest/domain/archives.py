"""The archive on its way to the training provider: what may go, and what waits until all of it is known."""

import hashlib
from dataclasses import dataclass
from typing import Final

HELD_BACK: Final = 64 * 1024
"""Bytes at an archive's end. The directory of a zip lies there, without which it cannot be opened: 100 photos take
about 10 KB."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The archive of one attempt as the dataset statement has it: `bytes` its size, `sha256` hexadecimal."""

    key: str
    user_id: str
    run_id: str
    attempt: int
    bytes: int
    sha256: str


class Sluice:
    """Lets an archive's bytes pass while it hashes them, and its end only when they were the sealed ones."""

    def __init__(self, sealed: Sealed) -> None:
        self._sealed = sealed
        self._free = max(0, sealed.bytes - HELD_BACK)
        self._digest = hashlib.sha256()
        self._held = bytearray()
        self.seen = 0
        """Bytes that came in."""

    def let_pass(self, chunk: bytes) -> bytes:
        """What may go on of the next bytes."""
        split = max(0, self._free - self.seen)
        self._digest.update(chunk)
        self.seen += len(chunk)
        self._held += chunk[split:][: HELD_BACK - len(self._held)]  # what exceeds this is never given out
        return chunk[:split]

    def end(self) -> bytes | None:
        """The end that was held back; None when the bytes were others than the sealed ones."""
        return bytes(self._held) if self.is_sealed else None

    @property
    def is_sealed(self) -> bool:
        """Whether what came in so far is the sealed archive, whole."""
        return self.seen == self._sealed.bytes and self.sha256 == self._sealed.sha256

    @property
    def sha256(self) -> str:
        """Digest of what came in so far."""
        return self._digest.hexdigest()
