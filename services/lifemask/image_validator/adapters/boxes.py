"""The boxes of an ISO media file (ISO 14496-12), of which HEIC is one. Reads nothing outside the bytes it is given."""

from collections.abc import Iterator
from dataclasses import dataclass


class Malformed(ValueError):
    """The file is not what its boxes say."""


@dataclass(slots=True)
class Reader:
    """Big-endian numbers, one after the other. Raises Malformed where the bytes end too early."""

    data: bytes
    at: int
    end: int

    def take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > self.end:
            raise Malformed("a box ends too early")
        return self.data[start : self.at]

    def number(self, size: int) -> int:
        """An unsigned number of `size` bytes; 0 bytes are 0."""
        return int.from_bytes(self.take(size), "big")

    def version(self) -> int:
        """The version of a full box; its flags are passed over."""
        return self.number(4) >> 24

    def boxes(self) -> "Iterator[Box]":
        """What is left, as boxes."""
        while self.at < self.end:
            start, size, kind = self.at, self.number(4), self.take(4)
            size = self.number(8) if size == 1 else size or self.end - start
            stop = start + size
            if not self.at <= stop <= self.end:
                raise Malformed("a box is longer than what holds it")
            yield Box(kind, Reader(self.data, self.at, stop))
            self.at = stop


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its type, four bytes, and its body."""

    kind: bytes
    body: Reader


def top(data: bytes) -> Iterator[Box]:
    """The outermost boxes; ends where no box follows, as phones write notes of their own behind the last one."""
    try:
        yield from Reader(data, 0, len(data)).boxes()
    except Malformed:
        return


def within(reader: Reader, *path: bytes) -> Iterator[Reader]:
    """The bodies of all boxes at `path` below a reader."""
    for box in reader.boxes():
        if box.kind == path[0]:
            if len(path) == 1:
                yield box.body
            else:
                yield from within(box.body, *path[1:])
