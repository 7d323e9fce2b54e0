"""Reads a stored, streamed zip back and compares its three accounts of itself: local headers, data, directory.

Layout: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.9 (data descriptor), 4.3.12 (directory), 4.3.14 to
4.3.16 (its end, with and without zip64). Only what our writer makes is accepted: nothing extra, nothing in between.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from lifemask.packager.adapters.tape import Tape, TapeEndedError
from lifemask.packager.domain import ArchiveReport, FoundMember

_LOCAL = struct.Struct("<4s5H3I2H")
_DESCRIPTOR = struct.Struct("<4s3I")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")
_PLAIN, _ZIP64 = 20, 45
"""Version needed to extract, in tenths: 4.5 for zip64, 2.0 otherwise."""
_STREAMED = 0x08
"""Flag: checksum and sizes follow the data."""
_HOW = (_STREAMED, 0, 0, 0x21)
"""Flags, method, time and date of every member: streamed, stored, 1980-01-01 00:00."""
_UNIX, _PLAIN_FILE = 3 << 8, 0o100644 << 16
_MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
_ZIP64_EXTRA = 1


class _BadZipError(Exception):
    """The first thing that does not hold, in a few words without names."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    offset: int
    crc: int
    size: int


async def read_back(tape: Tape, sizes: Sequence[int]) -> ArchiveReport:
    """The archive on the tape, whose members should have these sizes in bytes."""
    entries: list[_Entry] = []
    members: list[FoundMember] = []
    problem: str | None = None
    try:
        for size in sizes:
            entry, digest = await _member(tape, size)
            entries.append(entry)
            members.append(FoundMember(entry.name.decode("ascii", "replace"), digest, size))
        await _directory(tape, entries)
    except _BadZipError as bad:
        problem = str(bad)
    except TapeEndedError:
        problem = "it ends too early"
    if await tape.rest() and problem is None:
        problem = "it goes on after its end"
    return ArchiveReport(tape.digest, tape.position, tuple(members), problem)


async def _member(tape: Tape, size: int) -> tuple[_Entry, str]:
    offset = tape.position
    *header, names, extras = _LOCAL.unpack(await tape.take(_LOCAL.size))
    _expect(header == [b"PK\3\4", _PLAIN, *_HOW, 0, 0, 0], "a member's header is damaged")
    _expect(extras == 0, "a member's header has something extra")
    name = await tape.take(names)
    crc, digest = 0, hashlib.sha256()
    async for piece in tape.pour(size):
        crc = zlib.crc32(piece, crc)
        digest.update(piece)
    found = _DESCRIPTOR.unpack(await tape.take(_DESCRIPTOR.size))
    _expect(found == (b"PK\7\10", crc, size, size), "a member's content differs from its checksum or size")
    return _Entry(name, offset, crc, size), digest.hexdigest()


async def _directory(tape: Tape, entries: Sequence[_Entry]) -> None:
    start = tape.position
    for entry in entries:
        await _listed(tape, entry)
    await _end(tape, len(entries), start, tape.position - start)


async def _listed(tape: Tape, entry: _Entry) -> None:
    fields = _CENTRAL.unpack(await tape.take(_CENTRAL.size))
    signature, made_by, needed, *how = fields[:7]
    crc, packed, size, names, extras, comments, disk, internal, external, offset = fields[7:]
    version = _ZIP64 if extras else _PLAIN
    _expect((signature, made_by, needed) == (b"PK\1\2", _UNIX | version, version), "the directory is damaged")
    _expect((*how, disk, internal, external) == (*_HOW, 0, 0, _PLAIN_FILE), "the directory is damaged")
    _expect(await tape.take(names) == entry.name, "the directory names another member")
    extra = await tape.take(extras)
    if offset == _MAX32 and len(extra) == 12 and struct.unpack("<2H", extra[:4]) == (_ZIP64_EXTRA, 8):
        offset, extra = int.from_bytes(extra[4:], "little"), b""
    _expect(not extra and not comments, "the directory has something extra")
    listed, read = (offset, crc, packed, size), (entry.offset, entry.crc, entry.size, entry.size)
    _expect(listed == read, "the directory and a member differ")


async def _end(tape: Tape, count: int, start: int, size: int) -> None:
    head = await tape.take(4)
    if head == b"PK\6\6":
        await _end64(tape, head, count, start, size)
        head = await tape.take(4)
        large = True
    else:
        large = False
    fields = _END.unpack(head + await tape.take(_END.size - 4))
    clipped = (min(count, _MAX16), min(count, _MAX16), min(size, _MAX32), min(start, _MAX32))
    _expect(fields[0] == b"PK\5\6" and fields[1:3] == (0, 0) and fields[7] == 0, "the directory's end is damaged")
    _expect(fields[3:7] == clipped, "the directory's end and the directory differ")
    _expect(large or start < _MAX32, "the directory's place is missing")


async def _end64(tape: Tape, head: bytes, count: int, start: int, size: int) -> None:
    at = tape.position - 4
    fields = _END64.unpack(head + await tape.take(_END64.size - 4))
    _expect(fields[1:4] == (_END64.size - 12, _ZIP64, _ZIP64), "the large directory's end is damaged")
    _expect(fields[4:] == (0, 0, count, count, size, start), "the large directory's end and the directory differ")
    locator = _LOCATOR64.unpack(await tape.take(_LOCATOR64.size))
    _expect(locator == (b"PK\6\7", 0, at, 1), "the large directory's place is damaged")


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 # reads as a sentence: expect this, otherwise that
    if not holds:
        raise _BadZipError(otherwise)
