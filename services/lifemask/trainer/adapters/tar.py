"""A tar archive read from a stream, member by member, without ever touching a disk.

Strict on purpose: plain files and folders, the three common ways to write names and sizes (ustar, GNU, pax), and
nothing else. What it cannot read for certain it refuses.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from lifemask.trainer.domain.weights import UnsafeWeights

BLOCK: Final = 512
_MAX_EXTRA: Final = 1 << 16
"""Bytes of a member that only carries a name or pax records."""
_FILE: Final = b"0\0"
_FOLDER: Final = b"5"
_GNU_NAME: Final = b"L"
_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"


class BrokenOff(Exception):
    """The stream ended before the archive did."""


class ByteStream:
    """Chunks of any size, read by the byte count."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    async def some(self, most: int) -> bytes:
        """1 to `most` bytes. Raises BrokenOff at the end."""
        while not self._rest:
            try:
                self._rest = memoryview(await anext(self._chunks))
            except StopAsyncIteration:
                raise BrokenOff from None
        taken, self._rest = self._rest[:most], self._rest[most:]
        return bytes(taken)

    async def exactly(self, count: int) -> bytes:
        """`count` bytes. Raises BrokenOff when there are fewer."""
        parts = bytearray()
        while len(parts) < count:
            parts += await self.some(count - len(parts))
        return bytes(parts)


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file: its name as written, its size in bytes."""

    name: str
    bytes: int


class TarStream:
    """`next` gives the next plain file; `body` its content, which may be left unread."""

    def __init__(self, chunks: AsyncIterator[bytes], most_members: int) -> None:
        self._bytes = ByteStream(chunks)
        self._members_left = most_members
        self._unread = 0
        self._padding = 0

    async def next(self) -> Member | None:
        """The next plain file, or None at the archive's end. Raises UnsafeWeights, BrokenOff."""
        name: str | None = None
        size: int | None = None
        while True:
            await self._skip()
            header = await self._bytes.exactly(BLOCK)
            if header == bytes(BLOCK):
                await self._end()
                return None
            kind = _checked_kind(header)
            self._count()
            written = _number(header[124:136])
            if kind in {_GNU_NAME, _PAX, _PAX_GLOBAL}:
                content = await self._extra(written)
                if kind == _GNU_NAME:
                    name = _text(content)
                elif kind == _PAX:
                    name, size = _pax(content, name, size)
                elif _pax(content, None, None) != (None, None):
                    raise UnsafeWeights("archive not readable")
                continue
            self._open(written if size is None else size)
            if kind != _FOLDER:
                return Member(_name(header) if name is None else name, self._unread)
            if self._unread:
                raise UnsafeWeights("archive not readable")
            name = size = None

    async def body(self) -> AsyncIterator[bytes]:
        """The rest of the current file's content, in chunks as they come."""
        while self._unread:
            chunk = await self._bytes.some(self._unread)
            self._unread -= len(chunk)
            yield chunk

    async def take(self, count: int) -> bytes:
        """The next `count` bytes of the current file, which has at least as many left."""
        self._unread -= count
        return await self._bytes.exactly(count)

    def _open(self, size: int) -> None:
        self._unread = size
        self._padding = -size % BLOCK

    async def _skip(self) -> None:
        async for _ in self.body():
            pass
        await self._bytes.exactly(self._padding)
        self._padding = 0

    async def _extra(self, size: int) -> bytes:
        if size > _MAX_EXTRA:
            raise UnsafeWeights("archive not readable")
        self._open(size)
        return await self.take(size)

    async def _end(self) -> None:
        if await self._bytes.exactly(BLOCK) != bytes(BLOCK):
            raise UnsafeWeights("archive not readable")

    def _count(self) -> None:
        self._members_left -= 1
        if self._members_left < 0:
            raise UnsafeWeights("too many files")


def _checked_kind(header: bytes) -> bytes:
    total = sum(header[:148]) + sum(b" " * 8) + sum(header[156:])
    if _number(header[148:156]) != total:
        raise UnsafeWeights("archive not readable")
    kind = header[156:157]
    if kind in _FILE:
        return b"0"
    if kind not in {_FOLDER, _GNU_NAME, _PAX, _PAX_GLOBAL}:
        raise UnsafeWeights("archive holds more than files")
    return kind


def _number(field: bytes) -> int:
    """Octal digits, or a big-endian number behind 0x80 for sizes that octal cannot hold."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise UnsafeWeights("archive not readable")
    return int(digits or b"0", 8)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _pax(content: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """Name and size from lines of the form `length key=value`; lines about sparse files are refused."""
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not len(length) + 3 <= int(length) <= len(content):
            raise UnsafeWeights("archive not readable")
        record, content = content[: int(length)], content[int(length) :]
        key, equals, value = record[len(length) + 1 :].partition(b"=")
        if not equals or value[-1:] != b"\n" or key.startswith(b"GNU.sparse"):
            raise UnsafeWeights("archive not readable")
        if key == b"path":
            name = _text(value[:-1])
        elif key == b"size":
            size = _pax_size(value[:-1])
    return name, size


def _pax_size(value: bytes) -> int:
    if not value.isdigit() or len(value) > 15:
        raise UnsafeWeights("archive not readable")
    return int(value)
