"""The archive against the standard library's reader, and against damage."""

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import new_id
from lifemask.objects import keys
from lifemask.packager.adapters.archive import ZipArchive, entry_of
from lifemask.packager.adapters.tape import Tape
from lifemask.packager.adapters.zip_reader import read_back
from lifemask.packager.domain import CleanPhoto, Member, find_problem, plan_archive
from lifemask.testkit.events import a_run
from lifemask.testkit.objects import InMemoryObjects

STATEMENT = "ab12cd34" + "0" * 56


class Packed:
    """A run whose clean photos lie in a store."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        self.objects = InMemoryObjects()
        self.run = a_run()
        self.contents = list(contents)
        self.ids = [new_id() for _ in contents]
        photos = [
            CleanPhoto(photo, hashlib.sha256(content).hexdigest(), len(content))
            for photo, content in zip(self.ids, contents, strict=True)
        ]
        self.plan: tuple[Member, ...] = plan_archive(photos, STATEMENT)
        self.archive = ZipArchive(self.objects)

    @property
    def key(self) -> keys.Key:
        return keys.archive(self.run["user_id"], self.run["run_id"], 1)

    def clean(self, index: int) -> keys.Key:
        return keys.clean(self.run["user_id"], self.run["run_id"], self.ids[index])

    async def write(self) -> str | None:
        for index, content in enumerate(self.contents):
            await self.objects.put(self.clean(index), content)
        return await self.again()

    async def again(self) -> str | None:
        failure = await self.archive.write(**self.run, plan=self.plan)
        return failure.code if failure else None

    async def bytes(self) -> bytes:
        return await self.objects.get(self.key, limit=1 << 30)

    async def problem(self) -> str | None:
        return find_problem(self.plan, await self.archive.inspect(**self.run, plan=self.plan))


def contents(count: int = 12, size: int = 5000) -> list[bytes]:
    return [hashlib.sha256(bytes([n])).digest() * (size // 32) for n in range(count)]


async def test_the_standard_library_reads_it() -> None:
    packed = Packed(contents())
    assert await packed.write() is None
    with zipfile.ZipFile(io.BytesIO(await packed.bytes())) as read:
        assert read.testzip() is None
        assert read.namelist() == [one.name for one in packed.plan]
        assert [read.read(name) for name in read.namelist()] == packed.contents
        for entry in read.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert (entry.create_system, entry.external_attr) == (3, 0o100644 << 16)
        assert read.comment == b""


async def test_the_same_run_gives_the_same_bytes_twice() -> None:
    packed = Packed(contents())
    await packed.write()
    first = await packed.bytes()
    assert await packed.again() is None
    assert await packed.bytes() == first
    report = await packed.archive.inspect(**packed.run, plan=packed.plan)
    assert (report.sha256, report.bytes) == (hashlib.sha256(first).hexdigest(), len(first))
    assert await packed.problem() is None


def test_the_bytes_are_the_same_in_every_version() -> None:
    """Written down once: another interpreter must not make another archive of the same photos."""
    assert hashlib.sha256(zipped({"a-01.jpg": b"abc"})).hexdigest() == (
        "4333103128c7a0717a12df304edd2db8e79fdf221c66acf4344f2c65ad7df40e"
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=4000), min_size=1, max_size=30))
async def test_any_contents_come_back(parts: list[bytes]) -> None:
    packed = Packed(parts)
    assert await packed.write() is None
    assert await packed.problem() is None
    with zipfile.ZipFile(io.BytesIO(await packed.bytes())) as read:
        assert [read.read(entry) for entry in read.infolist()] == parts


async def test_a_clean_photo_that_is_gone_leaves_no_archive() -> None:
    packed = Packed(contents())
    packed.objects.loses(packed.clean(7))
    assert await packed.write() == "custody_broken"
    assert packed.key not in packed.objects.keys


async def test_a_clean_photo_that_differs_leaves_no_archive() -> None:
    packed = Packed(contents())
    packed.objects.tampers(packed.clean(7))
    assert await packed.write() == "custody_broken"
    assert packed.key not in packed.objects.keys


@pytest.mark.parametrize("other", [b"", b"x", b"x" * 3_000_000])
async def test_a_clean_photo_of_another_size_leaves_no_archive(other: bytes) -> None:
    packed = Packed(contents())
    await packed.write()
    await packed.objects.delete(packed.key)
    await packed.objects.put(packed.clean(3), other)
    assert await packed.again() == "custody_broken"
    assert packed.key not in packed.objects.keys


async def test_trouble_of_the_store_is_not_the_photos_fault() -> None:
    packed = Packed(contents())
    await packed.write()
    packed.objects.away()
    with pytest.raises(Retryable):
        await packed.again()
    packed.objects.heals()
    packed.objects.denies("GetObject")
    with pytest.raises(Misconfigured):
        await packed.problem()


async def test_an_archive_that_is_gone_is_a_problem() -> None:
    packed = Packed(contents())
    await packed.write()
    packed.objects.loses(packed.key)
    assert "not in the store" in str(await packed.problem())


async def test_no_byte_of_the_archive_can_change_unseen() -> None:
    """Every single byte matters: headers, data, checksums, directory, end."""
    packed = Packed(contents(3, 64))
    await packed.write()
    whole = await packed.bytes()
    sizes = [one.bytes for one in packed.plan]
    unseen = []
    for place in range(len(whole)):
        damaged = whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :]
        if find_problem(packed.plan, await read_back(Tape(_chunks(damaged, 97)), sizes)) is None:
            unseen.append(place)
    assert unseen == []


async def test_nothing_may_be_missing_or_be_added() -> None:
    packed = Packed(contents(3, 64))
    await packed.write()
    whole = await packed.bytes()
    for damaged in (whole[:-1], whole[:100], b"", whole + b"\0", whole + whole, b"\0" + whole):
        await packed.objects.put(packed.key, damaged)
        assert await packed.problem() is not None


async def test_a_directory_beyond_two_gigabytes_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members past 2 GiB have their offset in an extra field; built small by lowering the standard library's limit."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    data = zipped({f"m-{number}.jpg": bytes([number]) * 40 for number in range(3)})
    report = await read_back(Tape(_chunks(data, 33)), [40, 40, 40])
    assert report.problem is None
    assert [one.name for one in report.members] == ["m-0.jpg", "m-1.jpg", "m-2.jpg"]


class Pipe(io.RawIOBase):
    """What `zipfile` cannot seek in."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # zipfile hands over bytes
        self.written += data
        return len(data)


def zipped(members: dict[str, bytes]) -> bytes:
    """An archive as the adapter's headers make it."""
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, content in members.items():
            with archive.open(entry_of(Member(name, "p", "d", len(content))), "w") as entry:
                entry.write(content)
    return bytes(pipe.written)


async def _chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
