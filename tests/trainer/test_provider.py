"""The adapter with the unmodified client against a provider on the wire."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs
from tests.sandbox.world import until

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.sandbox.server import SandboxUrls, running_sandbox
from lifemask.trainer.adapters.replicate import Account, ReplicateTrainings, open_trainings
from lifemask.trainer.domain.training import Answer, Fate, Reply, Training
from lifemask.trainer.ports import Order

ACCOUNT = Account("lifemask/loras", "gpu-h100", call=5, create=3, pages=5)


@dataclass
class Provider:
    trainings: ReplicateTrainings
    urls: SandboxUrls
    web: httpx.AsyncClient

    async def fault(self, operation: str, effect: str, **more: Any) -> None:
        answer = await self.web.post(self.urls.faults, json={"operation": operation, "effect": effect, **more})
        answer.raise_for_status()

    async def ledger(self) -> dict[str, Any]:
        return dict((await self.web.get(self.urls.ledger)).json())

    async def calls(self, operation: str) -> int:
        return sum((await self.ledger())["calls"][operation].values())

    async def created(self, wanted: Order) -> Training:
        reply = await self.trainings.create(wanted)
        assert reply.answer is Answer.STARTED
        assert reply.training is not None
        return reply.training

    async def reaches(self, training: str, fate: Fate) -> Training:
        async def look() -> Training | None:
            seen = await self.trainings.get(training)
            return seen if seen and seen.fate is fate else None

        return await until(look)


def order(path: str | None = None, **changes: Any) -> Order:
    url = f"http://127.0.0.1:9{path or '/v1/objects/' + uuid4().hex}"
    wanted = Order("ostris/flux-dev-lora-trainer:" + "e" * 64, url, "TOK", 1000, 16, "0.0001", None)
    return replace(wanted, **changes)


def path_of(wanted: Order) -> str:
    return httpx.URL(wanted.archive_url).path


@asynccontextmanager
async def at(urls: SandboxUrls, token: str | None = None, **changes: Any) -> AsyncIterator[ReplicateTrainings]:
    account = replace(ACCOUNT, **changes)
    async with open_trainings(token or urls.replicate_token, urls.replicate, account) as trainings:
        yield trainings


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    settings = {"queue_seconds": 0.2, "training_seconds": 0.3, "weight_bytes": 300_000}
    async with (
        running_sandbox(tmp_path / "sandbox", archive_patience_seconds=0.2, **settings) as urls,
        httpx.AsyncClient(trust_env=False) as web,
        at(urls) as trainings,
    ):
        await trainings.prepare()
        yield Provider(trainings, urls, web)


def since() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=10)


async def test_a_training_is_created_read_and_cancelled(provider: Provider) -> None:
    wanted = order(webhook="https://lifemask.test/v1/callbacks/replicate/token")
    made = await provider.created(wanted)
    assert made.archive_path == path_of(wanted)
    seen = await provider.trainings.get(made.id)
    assert seen is not None
    assert (seen.id, seen.fate) == (made.id, Fate.OPEN)
    assert seen.created_at is not None
    assert abs(seen.created_at.timestamp() - time.time()) < 60
    ended = await provider.trainings.cancel(made.id)
    assert ended is not None
    assert (ended.status, ended.fate) == ("aborted", Fate.STOPPED)  # it had not started
    again = await provider.trainings.cancel(made.id)
    assert again is not None
    assert again.status == "aborted"


async def test_what_is_asked_for(provider: Provider) -> None:
    await provider.created(order(webhook="https://lifemask.test/hook", steps=700, rank=32, learning_rate="0.0004"))
    headers = {"authorization": f"Bearer {provider.urls.replicate_token}"}
    page = (await provider.web.get(f"{provider.urls.replicate}/v1/trainings", headers=headers)).json()
    given = page["results"][0]["input"]
    given.pop("input_images")
    assert given == {
        "trigger_word": "TOK",
        "steps": 700,
        "lora_rank": 32,
        "learning_rate": 0.0004,
        "batch_size": 1,
        "resolution": "512,768,1024",
        "caption_dropout_rate": 0.05,
        "optimizer": "adamw8bit",
        "autocaption": True,
        "cache_latents_to_disk": False,
        "gradient_checkpointing": False,
    }
    training = (await provider.ledger())["trainings"][0]
    assert (training["webhook"], training["destination"]) == ("https://lifemask.test/hook", "lifemask/loras")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"effect": "answer", "status": 429, "retry_after": 30}, Reply(Answer.BUSY, after=timedelta(seconds=30))),
        ({"effect": "answer", "status": 401}, Reply(Answer.DENIED)),
        ({"effect": "answer", "status": 403}, Reply(Answer.DENIED)),
        ({"effect": "answer", "status": 402}, Reply(Answer.UNPAID)),
        ({"effect": "answer", "status": 400}, Reply(Answer.INVALID)),
        ({"effect": "answer", "status": 500}, Reply(Answer.LOST)),
        ({"effect": "answer", "status": 503}, Reply(Answer.LOST)),
        ({"effect": "drop_before"}, Reply(Answer.LOST)),
        ({"effect": "drop_after"}, Reply(Answer.LOST)),
        ({"effect": "delay", "seconds": 20}, Reply(Answer.LOST)),
    ],
)
async def test_every_trouble_of_the_paid_call_is_a_reply_to_one_call(
    provider: Provider, fault: dict[str, Any], expected: Reply
) -> None:
    await provider.fault("create_training", **fault)
    async with at(provider.urls, create=0.5) as hurried:
        assert await hurried.create(order()) == expected
    if fault["effect"] != "delay":
        assert await provider.calls("create_training") == 1


async def test_wrong_input_destination_and_version_are_told_apart(provider: Provider) -> None:
    assert (await provider.trainings.create(order(steps=9000))).answer is Answer.INVALID
    wrong = order(trainer="ostris/flux-dev-lora-trainer:short")
    assert (await provider.trainings.create(wrong)).answer is Answer.MISSING
    async with at(provider.urls, destination="lifemask/none") as elsewhere:
        assert (await elsewhere.create(order())).answer is Answer.MISSING
    assert (await provider.ledger())["trainings"] == []


async def test_a_closed_port_has_sent_nothing(provider: Provider) -> None:
    nowhere = replace(provider.urls, replicate="http://127.0.0.1:9")
    async with at(nowhere) as trainings:
        assert (await trainings.create(order())).answer is Answer.UNSENT
        with pytest.raises(Retryable):
            await trainings.get("any")


async def test_a_lost_answer_is_found_by_its_path_alone(provider: Provider) -> None:
    mine, other = order(), order()
    await provider.fault("create_training", "drop_after")
    assert (await provider.trainings.create(mine)).answer is Answer.LOST
    made = await provider.created(other)
    await provider.trainings.cancel(made.id)  # an aborted row in the same page
    signed = replace(mine, archive_url=mine.archive_url + "?signature=1")
    twin = await provider.created(signed)
    listing = await provider.trainings.find(path_of(mine), since())
    assert listing.clean
    assert len(listing.matches) == 2
    assert listing.matches[0].id == twin.id
    assert (await provider.trainings.find(path_of(other), since())).matches[0].status == "aborted"
    assert (await provider.trainings.find(path_of(mine) + "x", since())).matches == ()
    assert (await provider.trainings.find(path_of(mine), datetime.now(UTC) + timedelta(minutes=1))).matches == ()


async def test_a_listing_lags_and_then_shows(provider: Provider) -> None:
    wanted = order()
    await provider.created(wanted)
    await provider.fault("list_trainings", "lag", seconds=60)
    assert (await provider.trainings.find(path_of(wanted), since())).matches == ()
    assert len((await provider.trainings.find(path_of(wanted), since())).matches) == 1


async def test_a_forgotten_input_makes_a_listing_unclean(tmp_path: Path) -> None:
    quick = {"destination": ACCOUNT.destination, "queue_seconds": 5, "retention_seconds": 0.01}
    async with running_sandbox(tmp_path / "sandbox", **quick) as urls, at(urls) as trainings:
        reply = await trainings.create(order())
        assert reply.training is not None
        made = reply.training.id
        await trainings.cancel(made)

        async def is_forgotten() -> bool:
            seen = await trainings.get(made)
            return seen is not None and seen.archive_path is None

        await until(is_forgotten)
        assert not (await trainings.find("/v1/objects/mine", since())).clean


async def test_an_archive_that_cannot_be_fetched_fails_the_training(provider: Provider) -> None:
    made = await provider.created(order())
    with capture_logs() as logs:
        seen = await provider.reaches(made.id, Fate.FAILED)
    told = next(line for line in logs if line["event"] == "training_failed")
    assert told["error"]
    assert "/v1/objects/" not in told["error"]  # an archive's address is a key to it
    assert seen.completed_at is not None
    assert seen.predict_seconds is not None
    assert seen.predict_seconds < Decimal(5)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_ours_to_repair(provider: Provider, status: int) -> None:
    await provider.fault("get_training", "answer", status=status)
    with pytest.raises(Misconfigured) as raised:
        await provider.trainings.get("any")
    assert raised.value.code is FailureCode.PROVIDER_DENIED


async def test_an_unknown_training_is_none(provider: Provider) -> None:
    assert await provider.trainings.get("unheard-of") is None
    assert await provider.trainings.cancel("unheard-of") is None


async def test_a_provider_in_trouble_is_tried_later(provider: Provider) -> None:
    await provider.fault("get_training", "answer", status=500)
    with pytest.raises(Retryable) as raised:
        await provider.trainings.get("any")
    assert raised.value.code is FailureCode.PROVIDER_UNAVAILABLE
    await provider.fault("cancel_training", "answer", status=429, retry_after=12)
    with pytest.raises(Retryable) as raised:
        await provider.trainings.cancel("any")
    assert (raised.value.after, raised.value.counts) == (timedelta(seconds=12), False)


async def test_the_clients_own_repetitions_are_bounded_in_time(provider: Provider) -> None:
    await provider.fault("get_training", "answer", status=503, times=None)
    async with at(provider.urls, call=0.5) as hurried:
        with pytest.raises(Retryable):
            await hurried.get("any")


async def test_the_destination_is_made_once_and_may_be_there(provider: Provider) -> None:
    async with at(provider.urls, destination="lifemask/other") as trainings:
        await trainings.prepare()
        await trainings.prepare()
    async with at(provider.urls, destination="lifemask/other") as trainings:
        await trainings.prepare()
        assert (await trainings.create(order())).answer is Answer.STARTED
    assert await provider.calls("create_model") == 2  # one for each of the two names


async def test_a_destination_that_went_away_is_made_again(provider: Provider) -> None:
    await provider.fault("create_training", "answer", status=404)
    assert (await provider.trainings.create(order())).answer is Answer.MISSING
    before = await provider.calls("get_model")
    await provider.trainings.prepare()
    assert await provider.calls("get_model") == before + 1


async def test_a_destination_made_by_another_at_the_same_time_is_fine(provider: Provider) -> None:
    await provider.fault("get_model", "answer", status=404)
    async with at(provider.urls) as trainings:
        await trainings.prepare()


async def test_a_destination_that_cannot_be_made_is_ours_to_repair(provider: Provider) -> None:
    async with at(provider.urls, destination="lifemask/" + "x" * 200) as trainings:
        with pytest.raises(Misconfigured):
            await trainings.prepare()
    async with at(provider.urls, token="r8_sandbox_wrong") as trainings:
        with pytest.raises(Misconfigured):
            await trainings.prepare()
        assert (await trainings.create(order())).answer is Answer.DENIED


VERSION = "lifemask/loras:" + "0" * 64


async def test_a_version_that_is_not_there_counts_as_deleted(provider: Provider) -> None:
    await provider.trainings.delete_version(VERSION)
    assert await provider.calls("delete_version") == 1


@pytest.mark.parametrize("name", ["v1", "lifemask/loras", "lifemask/loras:latest", f"lifemask/..:{'0' * 64}", ""])
async def test_only_a_version_by_its_full_name_is_deleted(provider: Provider, name: str) -> None:
    with capture_logs() as logs:
        await provider.trainings.delete_version(name)
    assert [line["event"] for line in logs] == ["version_not_deleted"]
    assert (await provider.ledger())["calls"].get("delete_version") is None


@pytest.mark.parametrize("status", [400, 403, 409, 500])
async def test_a_version_that_cannot_be_deleted_yet_stops_nothing_else(provider: Provider, status: int) -> None:
    await provider.fault("delete_version", "answer", status=status)
    with pytest.raises(Retryable) as raised:
        await provider.trainings.delete_version(VERSION)
    assert raised.value.code is FailureCode.PROVIDER_UNAVAILABLE
    await provider.trainings.delete_version(VERSION)


async def test_a_deletion_with_a_refused_token_is_ours_to_repair(provider: Provider) -> None:
    await provider.fault("delete_version", "answer", status=401)
    with pytest.raises(Misconfigured):
        await provider.trainings.delete_version(VERSION)
