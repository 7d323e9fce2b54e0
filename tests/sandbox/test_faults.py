"""The fault switches, seen through the unmodified clients."""

import time
from typing import Any

import httpx
import pytest
from replicate.exceptions import ReplicateError
from tests.sandbox.world import Outside, Provider, twelve_photos


async def count(provider: Provider) -> int:
    return len((await provider.ledger())["trainings"])


async def test_a_refusal_hits_as_often_as_it_was_set(provider: Provider, outside: Outside) -> None:
    await provider.fault("create_training", "answer", status=500, times=2)
    for _ in range(2):
        with pytest.raises(ReplicateError) as refused:
            await provider.create(outside.archive(twelve_photos()))
        assert refused.value.status == 500
    assert await count(provider) == 0
    await provider.create(outside.archive(twelve_photos()))
    assert (await provider.web.get(provider.urls.faults)).json() == []


async def test_a_429_names_its_delay_in_the_detail(provider: Provider, outside: Outside) -> None:
    await provider.fault("create_training", "answer", status=429, retry_after=7)
    with pytest.raises(ReplicateError) as refused:
        await provider.create(outside.archive(twelve_photos()))
    assert refused.value.status == 429
    assert refused.value.detail is not None
    assert "resets in ~7s" in refused.value.detail
    assert await count(provider) == 0


@pytest.mark.parametrize(("effect", "trainings"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_dropped_call_has_no_answer(provider: Provider, outside: Outside, effect: str, trainings: int) -> None:
    await provider.fault("create_training", effect)
    with pytest.raises(httpx.RemoteProtocolError):
        await provider.create(outside.archive(twelve_photos()))
    ledger = await provider.ledger()
    assert len(ledger["trainings"]) == trainings
    outcome = "dropped_before" if effect == "drop_before" else "dropped_after"
    assert ledger["calls"]["create_training"] == {outcome: 1}


async def test_a_delay_and_a_listing_that_lags(provider: Provider, outside: Outside) -> None:
    await provider.fault("list_trainings", "lag", seconds=600, times=None)
    await provider.create(outside.archive(twelve_photos()))
    assert (await provider.client.trainings.async_list()).results == []
    await provider.web.delete(provider.urls.faults)
    await provider.fault("list_trainings", "delay", seconds=0.3)
    begun = time.monotonic()
    assert len((await provider.client.trainings.async_list()).results) == 1
    assert time.monotonic() - begun >= 0.3


async def test_a_training_can_be_made_to_fail(provider: Provider, outside: Outside) -> None:
    await provider.fault("training", "fail", error="CUDA out of memory")
    made = await provider.create(outside.archive(twelve_photos()))
    shown = await provider.ended(made.id)
    assert (shown["status"], shown["error"], shown["output"]) == ("failed", "CUDA out of memory", None)
    assert 0 < shown["metrics"]["predict_time"] < 682


async def test_the_weights_of_another_training(provider: Provider, outside: Outside) -> None:
    urls = []
    for _ in range(2):
        made = await provider.create(outside.archive(twelve_photos()))
        urls.append((await provider.ended(made.id))["output"]["weights"])
        await provider.fault("training", "foreign_weights")
    first, second = [(await provider.web.get(url)).content for url in urls]
    assert first == second


async def test_an_output_can_be_refused_cut_or_altered(provider: Provider, outside: Outside) -> None:
    made = await provider.create(outside.archive(twelve_photos()))
    url = (await provider.ended(made.id))["output"]["weights"]
    whole = (await provider.web.get(url)).content

    await provider.fault("output", "answer", status=403)
    assert (await provider.web.get(url)).status_code == 403

    await provider.fault("output", "drop_after")
    with pytest.raises(httpx.RemoteProtocolError):
        await provider.web.get(url)

    await provider.fault("output", "alter")
    altered = (await provider.web.get(url)).content
    assert len(altered) == len(whole)
    assert altered != whole
    assert (await provider.web.get(url)).content == whole


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": "create_training", "effect": "forge"},
        {"operation": "nothing", "effect": "delay", "seconds": 1},
        {"operation": "get_training", "effect": "delay"},
        {"operation": "get_training", "effect": "answer", "staus": 500},
    ],
)
async def test_a_senseless_fault_is_refused(provider: Provider, wrong: dict[str, Any]) -> None:
    answer = await provider.web.post(provider.urls.faults, json=wrong)
    assert answer.status_code == 422
    assert (await provider.web.get(provider.urls.faults)).json() == []
