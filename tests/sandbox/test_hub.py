"""The unmodified huggingface_hub client against the sandbox. It is synchronous, so it runs in a thread."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import httpx
import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    ModelCardData,
    set_client_factory,
)
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from tests.sandbox.world import Provider

# the client's own upload of large files passes bytes to httpx2 in a way that httpx2 no longer likes
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

P = ParamSpec("P")
T = TypeVar("T")

METADATA = ModelCardData(license="other", license_name="flux-1-dev", tags=["lora"], instance_prompt="TOK")
CARD = f"---\n{METADATA}\n---\n# A model\n"
REPO = "lifemask/model-1"
BYTES = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(BYTES).hexdigest()


async def run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.to_thread(call, *args, **kwargs)


async def content(path: str) -> bytes:
    return await run(Path(path).read_bytes)


async def look_at(hub: HfApi, name: str) -> RepoFile:
    [seen] = await run(hub.get_paths_info, REPO, [name, "missing"])
    assert isinstance(seen, RepoFile)
    assert seen.lfs is not None
    return seen


@pytest.fixture
def hub(provider: Provider) -> HfApi:
    set_client_factory(httpx2.Client)  # the library's one client may be the publisher's, from another test
    return HfApi(endpoint=provider.urls.hub, token=provider.urls.hub_token)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(BYTES)
    return path


def publish(hub: HfApi, weights: Path, parent: str | None = None, **more: Any) -> str:
    files = [CommitOperationAdd("README.md", CARD.encode()), CommitOperationAdd("lora.safetensors", str(weights))]
    made = hub.create_commit(REPO, files, commit_message="Publish", parent_commit=parent, **more)
    return str(made.oid)


async def test_publishing_and_reading_back(hub: HfApi, weights: Path, tmp_path: Path) -> None:
    url = await run(hub.create_repo, REPO, private=True)
    assert url.repo_id == REPO
    assert (await run(hub.create_repo, REPO, private=True, exist_ok=True)).repo_id == REPO
    info = await run(hub.model_info, REPO)
    assert info.private is True

    head = await run(publish, hub, weights, info.sha)

    assert (await run(hub.model_info, REPO)).sha == head
    seen = await look_at(hub, "lora.safetensors")
    assert (seen.path, seen.size, seen.lfs and seen.lfs.sha256) == ("lora.safetensors", len(BYTES), SHA256)
    path = await run(hub.hf_hub_download, REPO, "lora.safetensors", cache_dir=tmp_path / "cache")
    assert await content(path) == BYTES
    card = await run(hub.hf_hub_download, REPO, "README.md", cache_dir=tmp_path / "cache")
    assert ModelCard.load(card).data.instance_prompt == "TOK"
    assert sorted(await run(hub.list_repo_files, REPO)) == [".gitattributes", "README.md", "lora.safetensors"]
    assert [commit.title for commit in await run(hub.list_repo_commits, REPO)] == ["Publish", "initial commit"]


async def test_the_same_bytes_again_make_no_commit(hub: HfApi, weights: Path, provider: Provider) -> None:
    await run(hub.create_repo, REPO)
    head = await run(publish, hub, weights)
    assert await run(publish, hub, weights) == head
    commits = (await provider.ledger())["commits"]
    assert [commit["by_hub"] for commit in commits] == [True, False]


async def test_a_stale_parent_is_refused(hub: HfApi, weights: Path) -> None:
    await run(hub.create_repo, REPO)
    first = (await run(hub.model_info, REPO)).sha
    await run(publish, hub, weights)
    await run(weights.write_bytes, b"other")
    with pytest.raises(HfHubHTTPError) as refused:
        await run(publish, hub, weights, first)
    assert refused.value.response.status_code == 412


async def test_a_private_repo_hides_from_strangers(hub: HfApi, weights: Path, provider: Provider) -> None:
    await run(hub.create_repo, REPO, private=True)
    await run(publish, hub, weights)
    stranger = HfApi(endpoint=provider.urls.hub, token=False)
    with pytest.raises(RepositoryNotFoundError) as refused:
        await run(stranger.model_info, REPO)
    assert refused.value.response.status_code == 401
    with pytest.raises(RepositoryNotFoundError) as refused:
        await run(hub.model_info, "lifemask/none")
    assert refused.value.response.status_code == 404
    with pytest.raises(HfHubHTTPError) as wrong:
        await run(HfApi(endpoint=provider.urls.hub, token="hf_sandbox_wrong").whoami)
    assert wrong.value.response.status_code == 401
    await run(hub.update_repo_settings, REPO, visibility="public")
    assert (await run(stranger.model_info, REPO)).private is False


async def test_what_is_missing_is_named(hub: HfApi, tmp_path: Path) -> None:
    await run(hub.create_repo, REPO)
    with pytest.raises(EntryNotFoundError):
        await run(hub.hf_hub_download, REPO, "none.bin", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        await run(hub.model_info, REPO, revision="0" * 40)
    with pytest.raises(HfHubHTTPError) as refused:
        await run(hub.create_repo, "somebody-else/model")
    assert refused.value.response.status_code == 403


async def test_listing_and_deleting(hub: HfApi, provider: Provider) -> None:
    for number in range(3):
        await run(hub.create_repo, f"lifemask/m{number}", private=True)
    assert [model.id for model in await run(lambda: list(hub.list_models(author="lifemask")))] == [
        "lifemask/m2",
        "lifemask/m1",
        "lifemask/m0",
    ]
    assert await run(lambda: list(hub.list_models(author="nobody"))) == []
    await run(hub.delete_repo, "lifemask/m1")
    await run(hub.delete_repo, "lifemask/m1", missing_ok=True)
    assert not await run(hub.repo_exists, "lifemask/m1")
    repos = (await provider.ledger())["repos"]
    assert [repo["deleted_at"] is None for repo in repos] == [True, False, True]


async def test_a_card_with_broken_metadata_is_refused(hub: HfApi) -> None:
    await run(hub.create_repo, REPO)
    broken = CommitOperationAdd("README.md", b"---\nlicense: other\n---\n# x")
    with pytest.raises(ValueError, match="license_name"):
        await run(hub.create_commit, REPO, [broken], commit_message="x")


async def test_files_can_be_deleted(hub: HfApi, weights: Path) -> None:
    await run(hub.create_repo, REPO)
    await run(publish, hub, weights)
    gone = CommitOperationDelete("lora.safetensors")
    await run(hub.create_commit, REPO, [gone], commit_message="Withdraw")
    assert not await run(hub.file_exists, REPO, "lora.safetensors")


async def test_large_files_live_on_another_host_behind_signed_links(
    hub: HfApi, weights: Path, provider: Provider
) -> None:
    await run(hub.create_repo, REPO, private=True)
    await run(publish, hub, weights)
    path = f"{provider.urls.hub}/{REPO}/resolve/main/lora.safetensors"
    answer = await provider.web.get(path, headers={"authorization": f"Bearer {provider.urls.hub_token}"})
    assert answer.status_code == 302
    link = httpx.URL(answer.headers["location"])
    assert (link.host, httpx.URL(provider.urls.hub).host) == ("localhost", "127.0.0.1")
    part = await provider.web.get(link, headers={"range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"\x01\x02\x03")
    assert (await provider.web.get(link.copy_set_param("expires", "9999999999"))).status_code == 403
    assert (await provider.web.put(link, content=b"x")).status_code == 403


async def test_a_commit_whose_answer_is_lost_was_made(hub: HfApi, weights: Path, provider: Provider) -> None:
    await run(hub.create_repo, REPO)
    head = (await run(hub.model_info, REPO)).sha
    await provider.fault("commit", "drop_after")
    with pytest.raises(Exception, match="disconnected"):
        await run(publish, hub, weights, head)
    made = (await run(hub.model_info, REPO)).sha
    assert made != head
    assert await run(publish, hub, weights, head) == made


async def test_other_bytes_and_other_digests(hub: HfApi, weights: Path, provider: Provider, tmp_path: Path) -> None:
    await run(hub.create_repo, REPO)
    await run(publish, hub, weights)
    await provider.fault("paths_info", "alter")
    seen = await look_at(hub, "lora.safetensors")
    assert seen.lfs is not None
    assert seen.lfs.sha256 != SHA256
    await provider.fault("download", "alter")
    path = await run(hub.hf_hub_download, REPO, "lora.safetensors", cache_dir=tmp_path / "cache")
    altered = await content(path)
    assert len(altered) == len(BYTES)
    assert altered != BYTES


async def test_a_429_tells_when_to_come_back(hub: HfApi, provider: Provider) -> None:
    await provider.fault("create_repo", "answer", status=429, retry_after=9)
    with pytest.raises(HfHubHTTPError) as refused:
        await run(hub.create_repo, REPO)
    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["retry-after"] == "9"
