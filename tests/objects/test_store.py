"""What every object store does, with hand-written expectations; the same for the fake, the directory and S3."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import new_id
from lifemask.objects.keys import BadKey, Key
from lifemask.objects.port import CHUNK, Absent, ObjectExists, ObjectMissing, ObjectStore, ObjectTooLarge

MIB = 1 << 20
SMALL = b"twelve bytes"


@pytest.fixture
def prefix() -> str:
    """A user of its own for every test."""
    return f"users/acme.{new_id()}/"


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def keys_below(store: ObjectStore, prefix: str) -> list[str]:
    return [info.key async for info in store.list(prefix)]


def blocks(count: int, size: int) -> list[bytes]:
    """Different blocks that no repetition hides."""
    return [hashlib.sha256(bytes([n])).digest() * (size // 32) for n in range(count)]


async def test_what_was_put_is_read_back(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}a.json")
    await store.put(key, SMALL)
    assert await store.get(key, limit=100) == SMALL
    assert await whole(store.read(key)) == SMALL


async def test_an_empty_object_is_an_object(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}empty")
    await store.put(key, b"")
    info = await store.head(key)
    assert info is not None
    assert info.bytes == 0
    assert await store.get(key, limit=0) == b""
    assert await whole(store.read(key)) == b""


async def test_a_second_put_replaces_the_first(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}a")
    await store.put(key, b"a much longer first version")
    await store.put(key, b"second")
    assert await store.get(key, limit=100) == b"second"


async def test_create_only_keeps_what_is_there(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}a")
    await store.put(key, b"first", create_only=True)
    with pytest.raises(ObjectExists):
        await store.put(key, b"second", create_only=True)
    with pytest.raises(ObjectExists):
        async with store.writing(key, create_only=True) as writer:
            await writer.write(b"third")
    assert await store.get(key, limit=100) == b"first"
    assert await keys_below(store, prefix) == [key]


async def test_of_many_creators_one_wins(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}a")
    bodies = [f"writer {n}".encode() for n in range(8)]
    results = await asyncio.gather(*(store.put(key, b, create_only=True) for b in bodies), return_exceptions=True)
    assert [type(r) for r in results if r is not None] == [ObjectExists] * 7
    assert await store.get(key, limit=100) == bodies[results.index(None)]


async def test_a_missing_object_is_missing_everywhere(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}nothing")
    assert await store.head(key) is None
    with pytest.raises(ObjectMissing):
        await store.get(key, limit=1)
    with pytest.raises(ObjectMissing):
        await whole(store.read(key))
    with pytest.raises(ObjectMissing):
        await whole(store.read(key, start=5, end=5))
    await store.delete(key)


async def test_a_folder_is_not_an_object(store: ObjectStore, prefix: str) -> None:
    await store.put(Key(f"{prefix}folder/a"), SMALL)
    folder = Key(f"{prefix}folder")
    assert await store.head(folder) is None
    with pytest.raises(ObjectMissing):
        await store.get(folder, limit=1)


async def test_get_refuses_more_than_its_limit(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}a")
    await store.put(key, SMALL)
    assert await store.get(key, limit=len(SMALL)) == SMALL
    with pytest.raises(ObjectTooLarge):
        await store.get(key, limit=len(SMALL) - 1)


async def test_several_are_got_and_each_that_is_not_says_why(store: ObjectStore, prefix: str) -> None:
    small, large, missing = (Key(f"{prefix}{name}") for name in ("a", "b", "c"))
    await store.put(small, SMALL)
    await store.put(large, SMALL * 2)
    found = await store.get_each(iter([small, missing, large]), limit=len(SMALL))
    assert found == {small: SMALL, missing: Absent.MISSING, large: Absent.TOO_LARGE}
    assert await store.get_each([], limit=1) == {}


async def test_errors_name_no_user(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}a")
    with pytest.raises(ObjectMissing) as missing:
        await store.get(key, limit=1)
    await store.put(key, SMALL, create_only=True)
    with pytest.raises(ObjectExists) as exists:
        await store.put(key, SMALL, create_only=True)
    with pytest.raises(ObjectTooLarge) as large:
        await store.get(key, limit=1)
    assert "acme" not in f"{missing.value} {exists.value} {large.value}"


RANGES: tuple[tuple[int, int | None, bytes], ...] = (
    (0, None, b"0123456789"),
    (3, None, b"3456789"),
    (3, 5, b"34"),
    (0, 1, b"0"),
    (9, 10, b"9"),
    (8, 99, b"89"),
    (10, None, b""),
    (99, 120, b""),
    (4, 4, b""),
    (5, 3, b""),
)


async def test_ranges(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}digits")
    await store.put(key, b"0123456789")
    read = [(start, end, await whole(store.read(key, start=start, end=end))) for start, end, _ in RANGES]
    assert read == list(RANGES)


async def test_head_tells_size_and_time(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}a")
    await store.put(key, SMALL)
    info = await store.head(key)
    assert info is not None
    assert (info.key, info.bytes) == (key, len(SMALL))
    assert abs(info.modified_at - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 40 * MIB])
async def test_a_stream_arrives_whole(store: ObjectStore, prefix: str, size: int) -> None:
    key = Key(f"{prefix}stream")
    data = b"".join(blocks(10, 4 * MIB))[:size]
    async with store.writing(key) as writer:
        for offset in range(0, size, 3 * MIB + 7):
            await writer.write(data[offset : offset + 3 * MIB + 7])
    read = [chunk async for chunk in store.read(key)]
    assert hashlib.sha256(b"".join(read)).digest() == hashlib.sha256(data).digest()
    assert max(map(len, read), default=0) <= CHUNK


async def test_a_stream_takes_a_chunk_of_any_size(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}stream")
    big = b"".join(blocks(5, 4 * MIB))
    async with store.writing(key) as writer:
        await writer.write(b"")
        await writer.write(b"first")
        await writer.write(big)
        await writer.write(b"last")
    assert await store.get(key, limit=len(big) + 9) == b"first" + big + b"last"


async def test_nothing_is_visible_before_the_stream_ends(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}stream")
    async with store.writing(key) as writer:
        await writer.write(b"x" * 9 * MIB)
        assert await store.head(key) is None
        assert await keys_below(store, prefix) == []
    assert await keys_below(store, prefix) == [key]


@pytest.mark.parametrize("written", [10, 9 * MIB])
async def test_a_stream_that_breaks_leaves_the_old_object(store: ObjectStore, prefix: str, written: int) -> None:
    key = Key(f"{prefix}stream")
    await store.put(key, SMALL)

    async def write() -> None:
        async with store.writing(key) as writer:
            await writer.write(b"x" * written)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write()
    assert await store.get(key, limit=100) == SMALL


async def test_a_stream_that_is_cancelled_leaves_nothing(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}stream")
    written = asyncio.Event()

    async def write() -> None:
        async with store.writing(key) as writer:
            await writer.write(b"x" * 17 * MIB)
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys_below(store, prefix) == []


async def test_a_large_create_only_stream_meets_an_object(store: ObjectStore, prefix: str) -> None:
    key = Key(f"{prefix}stream")
    await store.put(key, SMALL)
    with pytest.raises(ObjectExists):
        async with store.writing(key, create_only=True) as writer:
            await writer.write(b"x" * 9 * MIB)
    assert await store.get(key, limit=100) == SMALL


async def test_deleting(store: ObjectStore, prefix: str) -> None:
    here, there = Key(f"{prefix}runs/1/a"), Key(f"{prefix}runs/2/a")
    await store.put(here, SMALL)
    await store.put(there, SMALL)
    await store.delete(here)
    await store.delete(here)
    assert await keys_below(store, prefix) == [there]
    await store.put(here, b"again", create_only=True)
    assert await store.get(here, limit=9) == b"again"


async def patiently(call: Callable[[], Awaitable[None]]) -> None:
    """As a lane does: a conflict with a neighbour may be answered with "try again"."""
    for _ in range(20):
        try:
            return await call()
        except Retryable:
            continue
    raise AssertionError("twenty conflicts in a row")


async def test_put_and_delete_in_one_folder_at_once(store: ObjectStore, prefix: str) -> None:
    async def come_and_go(name: int) -> None:
        key = Key(f"{prefix}deep/folder/{name}")
        for _ in range(5):
            await patiently(lambda: store.put(key, SMALL))
            await patiently(lambda: store.delete(key))

    await asyncio.gather(*(come_and_go(name) for name in range(6)))
    assert await keys_below(store, prefix) == []


async def test_listing_is_in_key_order_and_by_prefix(store: ObjectStore, prefix: str) -> None:
    names = ["a", "a-b/x", "a.b", "aa/x", "b/1", "b/10", "b/2/deep/er", "bb", "B/1", "b_"]
    for name in names:
        await store.put(Key(f"{prefix}{name}"), name.encode())
    in_order = ["B/1", "a", "a-b/x", "a.b", "aa/x", "b/1", "b/10", "b/2/deep/er", "b_", "bb"]
    assert await keys_below(store, prefix) == [prefix + name for name in in_order]
    assert await keys_below(store, f"{prefix}b/") == [f"{prefix}b/{name}" for name in ("1", "10", "2/deep/er")]
    assert await keys_below(store, f"{prefix}b/1") == [f"{prefix}b/1", f"{prefix}b/10"]
    assert await keys_below(store, f"{prefix}nothing/") == []
    assert await keys_below(store, prefix.removesuffix("/")) == [prefix + name for name in in_order]


async def test_listing_tells_sizes(store: ObjectStore, prefix: str) -> None:
    await store.put(Key(f"{prefix}a"), b"1")
    await store.put(Key(f"{prefix}b"), b"12")
    assert [info.bytes async for info in store.list(prefix)] == [1, 2]


async def test_ids_that_differ_in_case_are_different(store: ObjectStore, prefix: str) -> None:
    ann, other = Key(f"{prefix}Ann"), Key(f"{prefix}ann")
    await store.put(ann, b"1", create_only=True)
    await store.put(other, b"2", create_only=True)
    assert await store.get(ann, limit=9) == b"1"
    assert await keys_below(store, prefix) == [ann, other]


NO_KEYS = (
    *("", "/", "/users/a", "users//a", "users/a/", "users/../a", "users/./a", "users/.a", "users/a b", "users/a\n"),
    *("users/ä", "users/a\\b", "users/a+b", "users/\x00", "users/" + "a" * 200),
)


async def test_what_is_no_key_is_refused(store: ObjectStore) -> None:
    async def write(key: Key) -> None:
        async with store.writing(key) as writer:
            await writer.write(SMALL)

    for text in NO_KEYS:
        key = Key(text)
        calls = (store.put(key, SMALL), write(key), store.get(key, limit=1), store.head(key), store.delete(key))
        for call in (*calls, whole(store.read(key)), whole(store.read(key, start=1, end=1))):
            with pytest.raises(BadKey):
                await call


async def test_what_is_no_prefix_is_refused(store: ObjectStore) -> None:
    for prefix in ("/", "../", "users/../", "users//", "users/ä/"):
        with pytest.raises(BadKey):
            await keys_below(store, prefix)
