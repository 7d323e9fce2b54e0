"""The training archive: a stored zip, streamed from the store into the store."""

import asyncio
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Sequence

from lifemask.contracts import Failure, RunId, UserId
from lifemask.custody import CustodyBroken
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore, ObjectWriter
from lifemask.packager.adapters.tape import Tape
from lifemask.packager.adapters.zip_reader import read_back
from lifemask.packager.domain import ArchiveReport, Member

ATTEMPT = 1
"""The packager makes the archive of the first training; a later attempt has one of its own."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PLAIN_FILE = 0o100644 << 16


class _PhotoDiffersError(Exception):
    """A clean photo is missing or is not the validated one; ends the write, so that nothing becomes visible."""

    def __init__(self, member: Member, found: str | None = None) -> None:
        super().__init__()
        self.broken = CustodyBroken("clean photo: missing or differs", expected=member.sha256, found=found)


class ZipArchive:
    """Implements `DatasetArchive`. Memory: one chunk of the store, whatever the archive's size."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def write(self, user_id: UserId, run_id: RunId, plan: Sequence[Member]) -> Failure | None:
        sink = _Sink()
        try:
            async with self._objects.writing(keys.archive(user_id, run_id, ATTEMPT)) as writer:
                with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
                    for member in plan:
                        with archive.open(entry_of(member), "w") as entry:
                            source = self._objects.read(keys.clean(user_id, run_id, member.photo_id))
                            async for chunk in checked(source, member):
                                entry.write(chunk)
                                await sink.drain(writer)
                await sink.drain(writer)
        except _PhotoDiffersError as differs:
            return differs.broken.failure(run_id)
        return None

    async def inspect(self, user_id: UserId, run_id: RunId, plan: Sequence[Member]) -> ArchiveReport:
        tape = Tape(self._objects.read(keys.archive(user_id, run_id, ATTEMPT)))
        try:
            return await read_back(tape, [member.bytes for member in plan])
        except ObjectMissing:
            return ArchiveReport(tape.digest, 0, (), "it is not in the store")


async def checked(source: AsyncIterator[bytes], member: Member) -> AsyncIterator[bytes]:
    """The photo's chunks; raises at the end, or as soon as it grows too long, when it is not the validated one.

    A chunk is hashed in a thread, and the next one read, while this one is written: each costs about the same.
    """
    digest, size, loop = hashlib.sha256(), 0, asyncio.get_running_loop()
    try:
        async for chunk in ahead(source):
            size += len(chunk)
            if size > member.bytes:
                raise _PhotoDiffersError(member)
            hashed = loop.run_in_executor(None, digest.update, chunk)
            yield chunk
            await hashed
    except ObjectMissing:
        raise _PhotoDiffersError(member) from None
    if (digest.hexdigest(), size) != (member.sha256, member.bytes):
        raise _PhotoDiffersError(member, digest.hexdigest())


async def ahead(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, the next one under way while this one is used; at most two are held."""
    following = asyncio.create_task(_next(source))
    try:
        while (chunk := await following) is not None:
            following = asyncio.create_task(_next(source))
            yield chunk
    finally:
        following.cancel()
        await asyncio.wait([following])


async def _next(source: AsyncIterator[bytes]) -> bytes | None:
    return await anext(source, None)


def entry_of(member: Member) -> zipfile.ZipInfo:
    """The member's header: everything that could differ between two runs of the same code is fixed."""
    entry = zipfile.ZipInfo(member.name, _EARLIEST)
    entry.create_system = _UNIX
    entry.external_attr = _PLAIN_FILE
    entry.file_size = member.bytes
    return entry


class _Sink(io.RawIOBase):
    """Takes what `zipfile` writes until the store has taken it. Not seekable, so nothing is written twice."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # zipfile hands over bytes, never other buffers
        self._waiting.append(bytes(data))
        return len(data)

    async def drain(self, writer: ObjectWriter) -> None:
        waiting, self._waiting = self._waiting, []
        for chunk in waiting:
            await writer.write(chunk)
