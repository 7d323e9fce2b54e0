"""The hub's adapter against the sandbox, with the unmodified client."""

import asyncio
import threading
from datetime import timedelta

import pytest
from tests.publisher.conftest import HubWorld
from tests.publisher.world import DIGEST, FILES, LAST, USER, WEIGHTS, publication, trained

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import Failure, FailureCode
from lifemask.objects import keys
from lifemask.publisher.adapters.hub import HuggingFaceHub, open_hub
from lifemask.publisher.adapters.hub_card import card_text
from lifemask.publisher.adapters.hub_library import HfApi

REPO = publication().repo or ""
SIZE = len(WEIGHTS)

# huggingface_hub 2.4 itself sends large files the way httpx2 wants to retire
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def publish(world: HubWorld) -> str:
    assert await world.hub.create(REPO) is None
    commit = await world.hub.commit(publication(), trained(), world.check)
    assert isinstance(commit, str)
    return commit


async def test_a_model_is_published_privately_and_read_back(world: HubWorld) -> None:
    commit = await publish(world)
    assert await world.hub.read_back(publication().at(commit), SIZE) == DIGEST
    [repo] = (await world.ledger())["repos"]
    assert (repo["id"], repo["visibility"], repo["head"]) == (REPO, "private", commit)
    assert repo["files"]["lora.safetensors"] == {"sha256": DIGEST, "bytes": 4800}
    assert world.checks == ["checked"]


async def test_the_card_arrives_as_written(world: HubWorld) -> None:
    commit = await publish(world)
    api = HfApi(endpoint=world.urls.hub, token=world.urls.hub_token)
    info = await asyncio.to_thread(lambda: api.model_info(REPO, revision=commit))
    assert info.card_data
    assert info.card_data.get("instance_prompt") == "ANNA"
    path = await asyncio.to_thread(lambda: api.hf_hub_download(REPO, "README.md", revision=commit))
    with open(path) as file:  # noqa: PTH123, ASYNC230 - a small file of the client's cache
        assert file.read() == card_text(publication(), trained())


async def test_publishing_twice_is_one_repository_and_one_commit(world: HubWorld) -> None:
    first = await publish(world)
    assert await publish(world) == first
    ledger = await world.ledger()
    assert len(ledger["repos"]) == 1
    assert await world.our_commits() == 1


async def test_the_statement_about_the_publication_is_a_commit_of_its_own(world: HubWorld) -> None:
    done = publication().at(await publish(world))
    for _ in range(2):
        assert await world.hub.attach(done, LAST, world.check) is None
    [repo] = (await world.ledger())["repos"]
    assert repo["commits"] == 3
    assert {f"custody/{name}" for name in (*FILES, LAST.name)} < set(repo["files"])
    assert await world.hub.read_back(done, SIZE) == DIGEST


async def test_a_place_of_another_fence_is_the_same_commit(world: HubWorld) -> None:
    first = await publish(world)
    await world.objects.put(
        keys.model_weights(USER, publication(4).model_id, "1-4"),
        await world.objects.get(keys.model_weights(USER, publication().model_id, "1-3"), limit=10_000),
    )
    assert await world.hub.commit(publication(4), trained(), world.check) == first


async def test_a_head_that_moved_is_looked_at_again(world: HubWorld) -> None:
    await world.hub.create(REPO)
    api = HfApi(endpoint=world.urls.hub, token=world.urls.hub_token)

    async def somebody_commits() -> None:
        world.checks.append("checked")
        if len(world.checks) == 1:
            await asyncio.to_thread(
                lambda: api.upload_file(path_or_fileobj=b"notes", path_in_repo="NOTES.md", repo_id=REPO)
            )

    commit = await world.hub.commit(publication(), trained(), somebody_commits)
    assert isinstance(commit, str)
    assert world.checks == ["checked", "checked"]
    [repo] = (await world.ledger())["repos"]
    assert set(repo["files"]) >= {"NOTES.md", "README.md", "lora.safetensors"}


async def test_a_head_that_keeps_moving_is_left_to_the_lane(world: HubWorld) -> None:
    await world.hub.create(REPO)
    await world.fails("commit", "answer", status=412, times=None)
    with pytest.raises(Retryable) as raised:
        await world.hub.commit(publication(), trained(), world.check)
    assert raised.value.code is FailureCode.HUB_BUSY
    assert len(world.checks) == 3


async def test_a_look_at_the_run_comes_before_the_commit(world: HubWorld) -> None:
    class Ended(Exception):
        pass

    async def check() -> None:
        raise Ended

    await world.hub.create(REPO)
    with pytest.raises(Ended):
        await world.hub.commit(publication(), trained(), check)
    assert await world.our_commits() == 0


@pytest.mark.parametrize(
    "operation", ["create_repo", "model_info", "validate_yaml", "preupload", "lfs_batch", "commit"]
)
async def test_a_busy_hub_is_obeyed_without_blocking_a_thread(world: HubWorld, operation: str) -> None:
    await world.fails(operation, "answer", status=429, retry_after=17)
    with pytest.raises(Retryable) as raised:
        await publish(world)
    assert raised.value.code is FailureCode.HUB_BUSY
    assert raised.value.after == timedelta(seconds=17)
    assert raised.value.counts is False
    await publish(world)
    assert await world.our_commits() == 1


async def test_a_conflicting_creation_is_tried_later(world: HubWorld) -> None:
    await world.fails("create_repo", "answer", status=409, times=None)
    with pytest.raises(Retryable) as raised:
        await world.hub.create(REPO)
    assert raised.value.code is FailureCode.HUB_BUSY
    assert (await world.ledger())["calls"]["create_repo"] == {"refused_409": 1}


@pytest.mark.parametrize(
    "operation", ["create_repo", "model_info", "lfs_put", "lfs_verify", "commit", "resolve", "download"]
)
@pytest.mark.parametrize("effect", ["answer", "drop_after"])
async def test_a_hub_that_fails_once_gets_the_model_once(world: HubWorld, operation: str, effect: str) -> None:
    await world.fails(operation, effect)
    try:
        commit = await publish(world)
        assert await world.hub.read_back(publication().at(commit), SIZE) == DIGEST
    except Retryable as again:
        assert again.code is FailureCode.HUB_UNAVAILABLE  # noqa: PT017 - some calls the client repeats by itself
        commit = await publish(world)
    assert await world.hub.read_back(publication().at(commit), SIZE) == DIGEST
    assert await world.our_commits() == 1


async def test_no_signed_link_is_logged(
    world: HubWorld, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    await world.fails("lfs_put", "drop_after")
    await publish(world)
    assert "lfs" not in caplog.text
    assert "http" not in "".join(capfd.readouterr())


async def test_a_file_host_that_denies_is_not_our_token(world: HubWorld) -> None:
    await world.fails("lfs_put", "answer", status=403)
    with pytest.raises(Retryable) as raised:
        await publish(world)
    assert raised.value.code is FailureCode.HUB_UNAVAILABLE


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("operation", ["create_repo", "commit"])
async def test_a_refused_token_pauses_the_stage(world: HubWorld, operation: str, status: int) -> None:
    await world.fails(operation, "answer", status=status, times=None)
    with pytest.raises(Misconfigured) as raised:
        await publish(world)
    assert raised.value.code is FailureCode.HUB_DENIED
    assert "HF_TOKEN" in raised.value.detail


async def test_a_wrong_token_pauses_the_stage(world: HubWorld) -> None:
    async with open_hub(world.objects, token="hf_sandbox_wrong", endpoint=world.urls.hub, patience=5, threads=1) as hub:
        with pytest.raises(Misconfigured):
            await hub.create(REPO)


@pytest.mark.parametrize(("operation", "status"), [("commit", 422), ("validate_yaml", 400), ("preupload", 413)])
async def test_what_the_hub_calls_invalid_is_a_failure(world: HubWorld, operation: str, status: int) -> None:
    await world.hub.create(REPO)
    await world.fails(operation, "answer", status=status)
    problem = await world.hub.commit(publication(), trained(), world.check)
    assert isinstance(problem, Failure)
    assert problem.code == "publication_refused"


async def test_other_bytes_on_the_hub_are_seen(world: HubWorld) -> None:
    commit = await publish(world)
    await world.fails("download", "alter")
    assert await world.hub.read_back(publication().at(commit), SIZE) != DIGEST


async def test_the_bytes_count_not_what_the_hub_says_of_them(world: HubWorld) -> None:
    commit = await publish(world)
    await world.fails("paths_info", "alter")
    assert await world.hub.read_back(publication().at(commit), SIZE) == DIGEST


async def test_a_repository_without_weights_has_none(world: HubWorld) -> None:
    await world.hub.create(REPO)
    assert await world.hub.read_back(publication().at("main"), SIZE) is None


@pytest.mark.parametrize(("operation", "code"), [("resolve", "hub_denied"), ("download", "hub_unavailable")])
async def test_only_the_hub_itself_can_refuse_our_token(world: HubWorld, operation: str, code: str) -> None:
    done = publication().at(await publish(world))
    await world.fails(operation, "answer", status=403)
    with pytest.raises((Retryable, Misconfigured)) as raised:
        await world.hub.read_back(done, SIZE)
    assert getattr(raised.value, "code", None) == code


async def test_a_store_that_is_away_while_uploading_is_named(world: HubWorld) -> None:
    await world.hub.create(REPO)
    world.objects.away()
    with pytest.raises(Retryable) as raised:
        await world.hub.commit(publication(), trained(), world.check)
    assert raised.value.code is FailureCode.STORE_UNAVAILABLE


async def test_a_hub_that_is_away_is_tried_later(world: HubWorld) -> None:
    async with open_hub(world.objects, token="t", endpoint="http://127.0.0.1:9", patience=1, threads=1) as hub:
        with pytest.raises(Retryable) as raised:
            await hub.create(REPO)
    assert raised.value.code is FailureCode.HUB_UNAVAILABLE


async def test_a_withdrawn_repository_is_gone_and_stays_gone(world: HubWorld) -> None:
    await publish(world)
    await world.hub.remove(REPO)
    await world.hub.remove(REPO)
    [repo] = (await world.ledger())["repos"]
    assert repo["deleted_at"] is not None


async def test_giving_up_while_the_client_reads_does_not_block_the_loop(world: HubWorld) -> None:
    """The worker lost its lane in the middle of an upload."""
    await world.hub.create(REPO)
    await world.fails("validate_yaml", "delay", seconds=0.2)
    under_way = asyncio.Event()

    async def check() -> None:
        under_way.set()

    task = asyncio.create_task(world.hub.commit(publication(), trained(), check))
    await under_way.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)
    assert await world.our_commits() == 0


def test_threads_are_bounded(world: HubWorld) -> None:
    assert isinstance(world.hub, HuggingFaceHub)
    assert sum(thread.name.startswith("hub") for thread in threading.enumerate()) <= 2
