"""The streaming tar reader against the standard library's writer, and against what it must refuse."""

import io
import tarfile
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifemask.trainer.adapters.tar import BLOCK, BrokenOff, TarStream
from lifemask.trainer.domain.weights import UnsafeWeights

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def written(members: Sequence[tuple[str, bytes]], kind: str = "gnu", **attributes: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=FORMATS[kind]) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        yield b""


async def read(data: bytes, size: int = 700, most: int = 100) -> list[tuple[str, bytes]]:
    tar = TarStream(chunked(data, size), most)
    found = []
    while member := await tar.next():
        content = b"".join([chunk async for chunk in tar.body()])
        assert len(content) == member.bytes
        found.append((member.name, content))
    return found


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=200).filter(
    lambda name: name.strip("./") == name
)


@given(
    members=st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=5),
    kind=st.sampled_from(["gnu", "pax"]),
    size=st.integers(1, 3000),
)
async def test_reads_what_the_standard_library_writes(members: list[tuple[str, bytes]], kind: str, size: int) -> None:
    assert await read(written(members, kind), size) == members


async def test_a_long_path_may_be_split() -> None:
    name = "/".join(["folder" * 5] * 5) + "/lora.safetensors"
    assert len(name) > 100
    assert await read(written([(name, b"x")], "ustar")) == [(name, b"x")]


async def test_folders_are_passed_over_and_contents_may_be_left_unread() -> None:
    data = written([("output", b"")], type=tarfile.DIRTYPE)[:BLOCK] + written([("a", b"1" * 600), ("b", b"2")])
    tar = TarStream(chunked(data, 100), 10)
    first = await tar.next()
    assert first is not None
    assert first.name == "a"
    second = await tar.next()
    assert second is not None
    assert (second.name, await tar.take(1)) == ("b", b"2")
    assert await tar.next() is None


async def test_sizes_beyond_octal_are_understood() -> None:
    out = io.BytesIO()
    info = tarfile.TarInfo("huge")
    info.size = 9 << 30
    header = info.tobuf(tarfile.GNU_FORMAT)
    out.write(header)
    tar = TarStream(chunked(out.getvalue(), 512), 10)
    member = await tar.next()
    assert member is not None
    assert member.bytes == 9 << 30
    tar = TarStream(chunked(info.tobuf(tarfile.PAX_FORMAT), 512), 10)
    member = await tar.next()
    assert member is not None
    assert member.bytes == 9 << 30


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"S", b"9"])
async def test_anything_but_files_is_refused(kind: bytes) -> None:
    with pytest.raises(UnsafeWeights, match="more than files"):
        await read(written([("lora.safetensors", b"")], type=kind, linkname="/etc/passwd"))


async def test_damage_is_refused() -> None:
    data = bytearray(written([("a", b"1")]))
    data[3] ^= 1
    with pytest.raises(UnsafeWeights):
        await read(bytes(data))


@pytest.mark.parametrize("cut", [0, 100, BLOCK, BLOCK + 10, 2 * BLOCK, 3 * BLOCK])
async def test_an_early_end_is_told_from_damage(cut: int) -> None:
    data = written([("a", b"1" * 400)])
    with pytest.raises(BrokenOff):
        await read(data[:cut])


async def test_bounds() -> None:
    with pytest.raises(UnsafeWeights, match="too many"):
        await read(written([(f"{number}", b"") for number in range(11)]), most=10)
    with pytest.raises(UnsafeWeights):
        await read(written([("n" * 70_000, b"")]))


@pytest.mark.parametrize(
    "records",
    [b"x", b"5 a=1", b"99 path=a\n", b"11 size=-1\n", b"0 a=b\n", b"24 GNU.sparse.size=100\n\n", b"12 size=abc\n"],
)
async def test_pax_records_that_lie_are_refused(records: bytes) -> None:
    extra = written([("pax", records)], type=tarfile.XHDTYPE)[: 2 * BLOCK]
    with pytest.raises(UnsafeWeights):
        await read(extra + written([("a", b"1")]))


async def test_a_global_record_may_not_rename() -> None:
    extra = written([("pax", b"10 path=a\n")], type=tarfile.XGLTYPE)[: 2 * BLOCK]
    with pytest.raises(UnsafeWeights):
        await read(extra + written([("b", b"1")]))
    harmless = written([("pax", b"13 comment=a\n")], type=tarfile.XGLTYPE)[: 2 * BLOCK]
    assert await read(harmless + written([("b", b"1")])) == [("b", b"1")]
