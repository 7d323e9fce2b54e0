"""The model store on an object store."""

import hashlib

import pytest
from tests.publisher.world import DIGEST, RUN, USER, WEIGHTS, publication, trained

from lifemask.objects import keys
from lifemask.publisher.adapters.store import StoredModels
from lifemask.testkit.objects import InMemoryObjects

SOURCE = keys.weights(USER, RUN, 1)


@pytest.fixture
async def objects() -> InMemoryObjects:
    objects = InMemoryObjects()
    await objects.put(SOURCE, WEIGHTS)
    return objects


async def test_weights_are_copied_and_read_back(objects: InMemoryObjects) -> None:
    store = StoredModels(objects)
    assert await store.copy_weights(publication(), trained()) is None
    assert await store.read_back(publication()) == DIGEST
    key = f"users/{USER}/models/{publication().model_id}/1-3/lora.safetensors"
    assert store.key_of(publication()) == key
    assert await objects.get(keys.Key(key), limit=10_000) == WEIGHTS


async def test_other_weights_than_the_statement_names_leave_nothing_behind(objects: InMemoryObjects) -> None:
    store = StoredModels(objects)
    objects.tampers(SOURCE)
    problem = await store.copy_weights(publication(), trained())
    assert problem
    assert problem.code == "custody_broken"
    assert objects.keys == (SOURCE,)


async def test_missing_weights_are_named(objects: InMemoryObjects) -> None:
    objects.loses(SOURCE)
    problem = await StoredModels(objects).copy_weights(publication(), trained())
    assert problem
    assert problem.code == "custody_broken"
    assert "weights: missing" in problem.what


async def test_reading_back_sees_what_lies_there_now(objects: InMemoryObjects) -> None:
    store = StoredModels(objects)
    await store.copy_weights(publication(), trained())
    key = keys.model_weights(USER, publication().model_id, "1-3")
    objects.tampers(key)
    assert await store.read_back(publication()) not in {DIGEST, None}
    objects.loses(key)
    assert await store.read_back(publication()) is None


async def test_removing_takes_every_version_of_this_model_and_nothing_else(objects: InMemoryObjects) -> None:
    store = StoredModels(objects)
    other = keys.model_weights(USER, "0192f7a0-3333-7d3e-8f40-5a6b7c8d9e0f", "1-1")
    await objects.put(other, b"another model")
    for epoch in (3, 4):
        await store.copy_weights(publication(epoch), trained())
        await store.put_metadata(publication(epoch), b"{}")
    await store.remove(USER, publication().model_id, but="1-4")
    assert await store.read_back(publication(3)) is None
    assert await store.read_back(publication(4)) == hashlib.sha256(WEIGHTS).hexdigest()
    await store.remove(USER, publication().model_id)
    await store.remove(USER, publication().model_id)
    assert set(objects.keys) == {SOURCE, other}
