"""An object read as a file from a thread."""

import asyncio
import hashlib
import io
from random import Random

import pytest

from lifemask.bus.outcomes import Retryable
from lifemask.objects.keys import Key
from lifemask.publisher.adapters.stored_file import StoredFile
from lifemask.testkit.objects import InMemoryObjects

KEY = Key("some/object")
DATA = Random(7).randbytes(2 * StoredFile.BLOCK + 1234)


@pytest.fixture
async def objects() -> InMemoryObjects:
    objects = InMemoryObjects()
    await objects.put(KEY, DATA)
    return objects


def opened(objects: InMemoryObjects) -> tuple[StoredFile, io.BufferedReader]:
    raw = StoredFile(objects, KEY, len(DATA), patience=5)
    return raw, io.BufferedReader(raw, StoredFile.BLOCK)


async def test_it_reads_whole_twice(objects: InMemoryObjects) -> None:
    _, file = opened(objects)

    def read() -> list[str]:
        digests = []
        for _ in range(2):
            file.seek(0)
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return digests

    assert await asyncio.to_thread(read) == [hashlib.sha256(DATA).hexdigest()] * 2


@pytest.mark.parametrize(
    ("offset", "whence", "length"), [(0, 0, 512), (StoredFile.BLOCK - 3, 0, 7), (-5, 2, 100), (len(DATA) + 9, 0, 1)]
)
async def test_it_seeks_like_any_file(objects: InMemoryObjects, offset: int, whence: int, length: int) -> None:
    _, file = opened(objects)
    same = io.BytesIO(DATA)

    def read(source: io.BufferedIOBase) -> tuple[int, bytes, int]:
        return source.seek(offset, whence), source.read(length), source.tell()

    assert await asyncio.to_thread(read, file) == read(same)


async def test_an_abandoned_file_ends_its_reader(objects: InMemoryObjects) -> None:
    raw, file = opened(objects)
    raw.abandon()
    with pytest.raises(Retryable):
        await asyncio.to_thread(file.read)
