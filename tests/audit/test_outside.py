"""Provider and hub against the sandbox: whole listings, page by page, and bytes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from lifemask.audit.hub import open_hub
from lifemask.audit.problems import Unreachable
from lifemask.audit.provider import open_provider
from lifemask.publisher.adapters.hub_library import HfApi
from lifemask.sandbox.server import SandboxUrls, running_sandbox

# huggingface_hub 2.4 itself sends large files the way httpx2 wants to retire
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "lifemask/lora-one"
VERSION = "a" * 64
CARD = b"---\nlicense: mit\n---\n# Card"


@pytest.fixture
async def urls(tmp_path: Path) -> AsyncIterator[SandboxUrls]:
    async with running_sandbox(tmp_path / "sandbox", queue_seconds=0.01, training_seconds=0.01, page_size=3) as urls:
        yield urls


async def test_all_trainings_of_all_pages_are_listed(urls: SandboxUrls) -> None:
    destination = "lifemask/models"
    headers = {"Authorization": f"Bearer {urls.replicate_token}"}
    async with httpx.AsyncClient(base_url=urls.replicate, headers=headers, trust_env=False) as http:
        model = {"owner": "lifemask", "name": "models", "visibility": "private", "hardware": "gpu-h100"}
        (await http.post("/v1/models", json=model)).raise_for_status()
        body = {"destination": destination, "input": {"input_images": "http://127.0.0.1:9/a/1.zip?signature=x"}}
        path = f"/v1/models/{urls.trainer}/versions/{VERSION}/trainings"
        made = {(await http.post(path, json=body)).raise_for_status().json()["id"] for _ in range(7)}
    async with open_provider(urls.replicate, urls.replicate_token) as provider:
        found = await provider.trainings()
        assert {training.id for training in found} == made
        assert len(found) == 7
        assert {training.path for training in found} <= {"/a/1.zip", None}
        assert await provider.versions(destination) == []
        assert await provider.versions("lifemask/nothing") == []


async def test_a_wrong_token_is_no_empty_listing(urls: SandboxUrls) -> None:
    async with open_provider(urls.replicate, "r8_wrong") as provider:
        with pytest.raises(Unreachable):
            await provider.trainings()
    async with open_hub(urls.hub, "hf_wrong") as hub:
        with pytest.raises(Unreachable):
            await hub.repositories("lifemask")
        with pytest.raises(Unreachable):
            await hub.look(REPO, None)
    async with open_provider("http://127.0.0.1:9", "r8") as provider:
        with pytest.raises(Unreachable):
            await provider.trainings()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_repository_is_read_as_it_is(urls: SandboxUrls) -> None:
    api = HfApi(endpoint=urls.hub, token=urls.hub_token)

    def put(name: str, data: bytes) -> str:
        return api.upload_file(path_or_fileobj=data, path_in_repo=name, repo_id=REPO).oid

    def publish() -> str:
        api.create_repo(REPO, private=True)
        put("README.md", CARD)
        put("custody/1-upload-1.dsse.json", b"{}")
        commit = put("lora.safetensors", b"weights" * 1000)
        put("lora.safetensors", b"others!" * 1000)
        return commit

    published = await asyncio.to_thread(publish)
    async with open_hub(urls.hub, urls.hub_token) as hub:
        found = await hub.look(REPO, published)
        assert found is not None
        assert found.private
        assert found.weights == sha256(b"weights" * 1000)
        assert found.head_weights == sha256(b"others!" * 1000), "the newest commit has other weights"
        assert found.card == sha256(CARD)
        assert dict(found.statements) == {"1-upload-1.dsse.json": b"{}"}
        assert list(found.others) == []
        assert await hub.look("lifemask/lora-none", None) is None
        missing = await hub.look(REPO, "f" * 40)
        assert missing is not None
        assert missing.weights is None
        assert await hub.repositories("lifemask") == [REPO]
        assert await hub.repositories("nobody") == []


async def test_a_file_that_has_no_end_is_read_up_to_a_limit() -> None:
    """A repository may hold anything; a statement has a few kilobytes."""
    info = b'{"private": true, "siblings": [{"rfilename": "custody/1-upload-1.dsse.json"}]}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"/custody/" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    while True:
                        writer.write(b"x" * (1 << 16))
                        await writer.drain()
                found = (b"200 OK", info) if b"/api/" in head else (b"404 Not Found", b"")
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (found[0], len(found[1]), found[1]))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(20), open_hub(f"http://127.0.0.1:{port}", "") as hub:
            found = await hub.look(REPO, None)
    finally:
        server.close()
    assert found is not None
    assert {name: len(data) for name, data in found.statements.items()} == {"1-upload-1.dsse.json": 4 << 20}
