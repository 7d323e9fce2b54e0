"""The fault switches of the store in memory, on which other tests rely."""

import pytest

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.objects import open_objects
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectMissing
from lifemask.testkit.objects import InMemoryObjects

KEY = Key("users/acme.ann/a")


@pytest.fixture
async def store() -> InMemoryObjects:
    store = InMemoryObjects()
    await store.put(KEY, b"data")
    return store


async def test_away_and_back(store: InMemoryObjects) -> None:
    store.away()
    with pytest.raises(Retryable):
        await store.get(KEY, limit=9)
    with pytest.raises(Retryable):
        await store.put(KEY, b"x")
    store.heals()
    assert await store.get(KEY, limit=9) == b"data"


async def test_it_can_go_away_in_the_middle(store: InMemoryObjects) -> None:
    async def write() -> None:
        async with store.writing(KEY) as writer:
            await writer.write(b"half")
            store.away()

    with pytest.raises(Retryable):
        await write()
    store.heals()
    assert await store.get(KEY, limit=9) == b"data"


async def test_one_permission_is_denied(store: InMemoryObjects) -> None:
    store.denies("GetObject")
    with pytest.raises(Misconfigured, match=r"s3:GetObject denied on memory/users/…$"):
        await store.head(KEY)
    await store.put(KEY, b"new")
    store.heals()
    assert await store.get(KEY, limit=9) == b"new"
    with pytest.raises(ValueError, match="no such permission"):
        store.denies("GetObjects")


async def test_lost_now_or_later(store: InMemoryObjects) -> None:
    later = Key("users/acme.ann/b")
    store.loses(KEY)
    store.loses(later)
    await store.put(later, b"1")
    for key in (KEY, later):
        assert await store.head(key) is None
        with pytest.raises(ObjectMissing):
            await store.get(key, limit=9)
    assert list(store.keys) == []
    store.heals()
    assert list(store.keys) == [KEY, later]


async def test_tampered_with(store: InMemoryObjects) -> None:
    store.tampers(KEY)
    assert await store.get(KEY, limit=9) == b"dat`"
    store.heals()
    assert await store.get(KEY, limit=9) == b"data"


async def test_the_same_name_is_the_same_store() -> None:
    async with open_objects("memory://one") as one, open_objects("memory://two") as two:
        await one.put(KEY, b"1")
        assert InMemoryObjects.named("one").keys == (KEY,)
        assert await two.head(KEY) is None
