"""The unmodified replicate client against the sandbox."""

import io
import re
import tarfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from replicate.exceptions import ReplicateError
from replicate.pagination import async_paginate
from safetensors import safe_open
from tests.sandbox.world import Outside, Provider, provider_at, twelve_photos

from lifemask.sandbox.archive import fetch_archive
from lifemask.sandbox.server import running_sandbox
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.trainer import Trainer
from lifemask.sandbox.training import Archive, Training

PROGRESS = re.compile(r"flux_train_replicate:\s*(\d+)%\|[^|]*\|\s*(\d+)/(\d+)")
FOLDER = "output/flux_train_replicate"


async def test_a_training_from_creation_to_its_end(provider: Provider, outside: Outside) -> None:
    made = await provider.create(outside.archive(twelve_photos()), values={"steps": 100})
    assert made.status == "starting"

    shown = await provider.ended(made.id)

    assert shown["status"] == "succeeded"
    assert "webhook" not in shown
    assert "destination" not in shown
    assert shown["metrics"]["predict_time"] == pytest.approx(68.2)
    assert PROGRESS.findall(shown["logs"])[-1] == ("100", "100", "100")
    assert "\r" in shown["logs"]
    assert re.fullmatch("lifemask/loras:[0-9a-f]{64}", shown["output"]["version"])
    assert httpx.URL(shown["output"]["weights"]).host == "localhost"
    seen = await provider.client.trainings.async_get(made.id)
    assert (seen.status, seen.destination) == ("succeeded", "lifemask/loras")


async def test_the_output_is_a_tar_with_valid_weights(provider: Provider, outside: Outside, tmp_path: Path) -> None:
    made = await provider.create(outside.archive(twelve_photos()), values={"lora_rank": 4})
    url = (await provider.ended(made.id))["output"]["weights"]

    content = (await provider.web.get(url)).raise_for_status().content

    assert content == (await provider.web.get(url)).content
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        captions = [f"{FOLDER}/captions/{number:02d}.txt" for number in range(12)]
        assert tar.getnames() == [f"{FOLDER}/config.yaml", f"{FOLDER}/lora.safetensors", *captions]
        member = tar.extractfile(f"{FOLDER}/lora.safetensors")
        assert member is not None
        (tmp_path / "lora.safetensors").write_bytes(member.read())
    assert 200_000 < (tmp_path / "lora.safetensors").stat().st_size <= 310_000
    with safe_open(tmp_path / "lora.safetensors", "numpy") as weights:  # checks lengths and offsets
        names = list(weights.keys())
        assert "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight" in names
        assert weights.get_slice(names[0]).get_dtype() == "BF16"


async def test_two_trainings_make_different_weights(provider: Provider, outside: Outside) -> None:
    url = outside.archive(twelve_photos())
    made = [await provider.create(url) for _ in range(2)]
    outputs = [(await provider.ended(each.id))["output"]["weights"] for each in made]
    first, second = [(await provider.web.get(output)).content for output in outputs]
    assert len(first) == len(second)
    assert first != second


@pytest.mark.parametrize(
    ("values", "field", "text"),
    [
        ({"steps": 2}, "input.steps", "Must be greater than or equal to 3"),
        ({"steps": 6001}, "input.steps", "Must be less than or equal to 6000"),
        ({"steps": "many"}, "input.steps", "Invalid type. Expected: integer, given: string"),
        ({"lora_rank": 129}, "input.lora_rank", "Must be less than or equal to 128"),
        ({"input_images": "not a url"}, "input.input_images", "Does not match format 'uri'"),
    ],
)
async def test_bad_input_is_refused(
    provider: Provider, outside: Outside, values: dict[str, Any], field: str, text: str
) -> None:
    with pytest.raises(ReplicateError) as refused:
        await provider.create(outside.archive(twelve_photos()), values=values)
    assert refused.value.status == 422
    assert refused.value.detail == f"- {field}: {text}\n"
    assert (await provider.ledger())["trainings"] == []


async def test_an_unknown_destination_and_a_malformed_version_are_refused(provider: Provider) -> None:
    with pytest.raises(ReplicateError) as refused:
        await provider.create("http://127.0.0.1:9/a.zip", destination="lifemask/none")
    assert refused.value.status == 404
    assert refused.value.detail == "The specified training destination does not exist"
    with pytest.raises(ReplicateError) as refused:
        await provider.client.trainings.async_create(
            model="ostris/flux-dev-lora-trainer", version="abc", input={}, destination="lifemask/loras"
        )
    assert refused.value.status == 422


async def test_a_wrong_token_is_refused(provider: Provider) -> None:
    async with provider_at(replace(provider.urls, replicate_token="r8_sandbox_wrong")) as stranger:
        with pytest.raises(ReplicateError) as refused:
            await stranger.client.trainings.async_list()
        assert refused.value.status == 401


async def test_models_are_created_once_and_found(provider: Provider) -> None:
    models = provider.client.models
    made = await models.async_create("lifemask", "people", visibility="private", hardware="gpu-h100")
    assert (made.owner, made.name, made.visibility) == ("lifemask", "people", "private")
    assert (await models.async_get("lifemask", "people")).latest_version is None
    with pytest.raises(ReplicateError) as refused:
        await models.async_create("lifemask", "people", visibility="private", hardware="gpu-h100")
    assert refused.value.status == 409
    trainer = await models.async_get("ostris", "flux-dev-lora-trainer")
    assert trainer.latest_version is not None
    with pytest.raises(ReplicateError):
        await models.async_get("lifemask", "none")


async def test_a_deleted_version_is_gone_with_its_output(provider: Provider, outside: Outside) -> None:
    made = await provider.create(outside.archive(twelve_photos()))
    output = (await provider.ended(made.id))["output"]
    version = output["version"].partition(":")[2]
    model = await provider.client.models.async_get("lifemask", "loras")
    assert model.latest_version is not None
    assert model.latest_version.id == version
    listed = (await model.versions.async_list()).results
    assert [each.id for each in listed] == [version]

    path = f"{provider.urls.replicate}/v1/models/lifemask/loras/versions/{version}"
    headers = {"authorization": f"Bearer {provider.urls.replicate_token}"}
    assert (await provider.web.delete(path, headers=headers)).status_code == 202

    assert (await provider.web.delete(path, headers=headers)).status_code == 404
    assert (await provider.web.get(output["weights"])).status_code == 404
    assert (await provider.ledger())["trainings"][0]["version_deleted"] is True


async def test_the_list_is_paged_newest_first(tmp_path: Path, quick: dict[str, Any]) -> None:
    slow = quick | {"queue_seconds": 600, "page_size": 5}
    async with running_sandbox(tmp_path / "data", **slow) as urls, provider_at(urls) as provider:
        made = [(await provider.create("http://127.0.0.1:9/a.zip")).id for _ in range(8)]
        pages = [page async for page in async_paginate(provider.client.trainings.async_list)]
        assert [len(page.results) for page in pages] == [5, 3]
        assert [each.id for page in pages for each in page.results] == made[::-1]
        assert pages[0].next is not None
        assert pages[0].next.startswith(urls.replicate)


async def test_cancel_while_training_bills_what_was_done(
    tmp_path: Path, quick: dict[str, Any], outside: Outside
) -> None:
    slow = quick | {"training_seconds": 600}
    async with running_sandbox(tmp_path / "data", **slow) as urls, provider_at(urls) as provider:
        made = await provider.create(outside.archive(twelve_photos()), webhook=outside.hook)
        assert await provider.images() == 12
        canceled = await provider.client.trainings.async_cancel(made.id)
        assert canceled.status == "canceled"
        shown = await provider.ended(made.id)
        assert (shown["status"], shown["output"]) == ("canceled", None)
        row = (await provider.ledger())["trainings"][0]
        assert Decimal(row["cost_usd"]) == Decimal(str(shown["metrics"]["predict_time"])) * Decimal("0.001525")
        assert (await provider.client.trainings.async_cancel(made.id)).status == "canceled"


async def test_a_cancel_in_the_moment_the_archive_comes_bills_what_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: dict[str, Any], outside: Outside
) -> None:
    """Whoever was told what a canceled training costs is not billed more afterwards."""
    followed: list[tuple[Trainer, Training]] = []
    start = Trainer._start

    async def starting(self: Trainer, training: Training) -> None:
        followed.append((self, training))
        await start(self, training)

    async def fetched(url: str, settings: SandboxSettings, folder: Path) -> Archive:
        archive = await fetch_archive(url, settings, folder)
        trainer_, training = followed[0]
        trainer_.cancel(training)
        return archive

    monkeypatch.setattr(Trainer, "_start", starting)
    monkeypatch.setattr("lifemask.sandbox.trainer.fetch_archive", fetched)
    slow = quick | {"training_seconds": 0.5}
    async with running_sandbox(tmp_path / "data", **slow) as urls, provider_at(urls) as provider:
        made = await provider.create(outside.archive(twelve_photos()), webhook=outside.hook)
        shown = await provider.ended(made.id)
        assert (shown["status"], shown["metrics"]["predict_time"]) == ("canceled", 0)
        await provider.settled(made.id)
        assert Decimal((await provider.ledger())["trainings"][0]["cost_usd"]) == 0


async def test_cancel_before_the_start_aborts_and_bills_nothing(tmp_path: Path, quick: dict[str, Any]) -> None:
    slow = quick | {"queue_seconds": 600}
    async with running_sandbox(tmp_path / "data", **slow) as urls, provider_at(urls) as provider:
        made = await provider.create("http://127.0.0.1:9/a.zip")
        headers = {"authorization": f"Bearer {urls.replicate_token}"}
        answer = await provider.web.post(f"{urls.replicate}/v1/trainings/{made.id}/cancel", headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (200, "aborted")
        assert answer.json()["started_at"] is None
        row = (await provider.ledger())["trainings"][0]
        assert (row["status"], row["seconds"]) == ("aborted", 0)
        assert Decimal(row["cost_usd"]) == 0


async def test_outputs_vanish_after_their_time(tmp_path: Path, quick: dict[str, Any], outside: Outside) -> None:
    async with (
        running_sandbox(tmp_path / "data", **quick, retention_seconds=0.5) as urls,
        provider_at(urls) as provider,
    ):
        made = await provider.create(outside.archive(twelve_photos()))
        url = (await provider.ended(made.id))["output"]["weights"]
        await provider.until_gone(url)
        shown = await provider.raw(made.id)
        assert (shown["output"], shown["logs"], shown["input"]) == (None, "", {})
        assert shown["status"] == "succeeded"


async def test_the_ledger_says_what_was_billed(provider: Provider, outside: Outside) -> None:
    made = await provider.create(outside.archive(twelve_photos(), "attempt-3.zip"))
    await provider.ended(made.id)
    ledger = await provider.ledger()
    row = ledger["trainings"][0]
    assert row["input_path"] == "/users/app.u1/runs/r1/archive/attempt-3.zip"
    assert (row["status"], row["images"], row["seconds"]) == ("succeeded", 12, 682.0)
    assert row["cost_usd"] == ledger["cost_usd"] == "1.0400500"
    assert [member["name"] for member in row["archive"]["members"]] == [f"{number:02d}.jpg" for number in range(12)]
    assert ledger["calls"]["create_training"] == {"answered_201": 1}
