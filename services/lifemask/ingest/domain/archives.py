"""The archive on its way to the training provider: what may go, and what waits until all of it is on record."""

import hashlib
from dataclasses import dataclass
from typing import Final

MARK: Final = 1 << 20
"""Bytes between two marks."""
HELD_BACK: Final = 64 * 1024
"""Bytes at an archive's end that wait for the record of the fetch. The directory of a zip lies there, without which it
cannot be opened: 100 photos take about 10 KB."""


class Reading:
    """An archive's bytes as they were read once: how many, their digest, and the digest up to each mark."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.marks: list[bytes] = []
        """SHA-256 of the first MARK bytes, of the first 2 MARK bytes …"""
        self.seen = 0
        """Bytes so far."""

    def add(self, chunk: bytes) -> None:
        """The next bytes."""
        left = memoryview(chunk)
        while left:
            part = left[: MARK - self.seen % MARK]
            self._digest.update(part)
            self.seen += len(part)
            if self.seen % MARK == 0:
                self.marks.append(self._digest.digest())
            left = left[len(part) :]

    @property
    def sha256(self) -> str:
        """Digest of what was read so far, hexadecimal."""
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Sealed:
    """The archive of one attempt as the dataset statement has it: `bytes` its size, `sha256` hexadecimal."""

    key: str
    user_id: str
    run_id: str
    attempt: int
    bytes: int
    sha256: str

    def is_in(self, reading: Reading) -> bool:
        """Whether what was read is the sealed archive, whole."""
        return (reading.seen, reading.sha256) == (self.bytes, self.sha256)


class Sluice:
    """Lets an archive's bytes pass while they are read for the second time.

    `first` is the reading that showed the sealed archive. Bytes wait until the next mark, and go when the digest there
    is the same again: so none go that are not the sealed ones, even if the archive is exchanged between the readings.
    """

    def __init__(self, sealed: Sealed, first: Reading) -> None:
        self._sealed = sealed
        self._first = first
        self._free = max(0, sealed.bytes - HELD_BACK)
        self._held = bytearray()
        self._gone = 0
        self._differs = False
        self.again = Reading()

    def let_pass(self, chunk: bytes) -> bytes:
        """What may go on of the bytes so far."""
        known = len(self.again.marks)
        self.again.add(chunk)
        reached = len(self.again.marks)
        self._differs |= self.again.seen > self._sealed.bytes
        self._differs |= self.again.marks[known:] != self._first.marks[known:reached]
        if self._differs:
            self._held.clear()
            return b""
        self._held += chunk
        free = bytes(self._held[: min(reached * MARK, self._free) - self._gone])
        del self._held[: len(free)]
        self._gone += len(free)
        return free

    def end(self) -> bytes | None:
        """What was held back; None when the bytes were others than the sealed ones."""
        return bytes(self._held) if self._sealed.is_in(self.again) else None
