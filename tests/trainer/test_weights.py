"""Weights out of a provider's output: what is taken, what is refused, what is left behind."""

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors import safe_open
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.sandbox.world import Outside, picture, twelve_photos, zipped
from tests.trainer.test_provider import Provider, at, order

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import Failure, new_id
from lifemask.objects import keys
from lifemask.sandbox.listening import listen, serving
from lifemask.sandbox.server import running_sandbox
from lifemask.testkit.objects import InMemoryObjects
from lifemask.trainer.adapters.weights import Limits, OutputWeights, open_weights
from lifemask.trainer.domain.attempt import AttemptId
from lifemask.trainer.domain.training import Fate
from lifemask.trainer.domain.weights import Copied

MINE = AttemptId("acme.anna", new_id(), 1)
KEY = keys.weights(*MINE)
LIMITS = Limits(bytes=10_000_000, seconds=25, silence=10, insecure=True)
NAME = "transformer.blocks.0.attn.lora_A.weight"
FOLDER = "output/flux_train_replicate"


def safetensors(header: Any = None, data: bytes = bytes(8), length: int | None = None) -> bytes:
    if header is None:
        header = {"__metadata__": {"format": "pt"}, NAME: {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def archive(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


GOOD = archive(
    (f"{FOLDER}/config.yaml", b"job: extension"),
    (f"{FOLDER}/lora.safetensors", safetensors()),
    (f"{FOLDER}/captions/01.txt", b"a photo of TOK"),
    (f"{FOLDER}/captions/02.txt", b"TOK smiling"),
)


@dataclass
class Files:
    """A file host: one body, status and headers for every address."""

    url: str = ""
    body: bytes = GOOD
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)

    async def get(self, request: Request) -> Response:
        self.seen.append(dict(request.headers))
        return Response(self.body, self.status, headers=self.headers)


@dataclass
class World:
    files: Files
    objects: InMemoryObjects
    weights: OutputWeights

    async def copy(self) -> Copied | Failure:
        return await self.weights.copy_out(f"{self.files.url}/trained.tar", MINE)

    async def refusal(self) -> str:
        """The problem that was named; nothing may be in the store then."""
        found = await self.copy()
        assert isinstance(found, Failure)
        assert await self.objects.head(KEY) is None
        assert found.code == "weights_unsafe"
        return found.what


@pytest.fixture
async def world() -> AsyncIterator[World]:
    sock = listen("127.0.0.1")
    files = Files(f"http://127.0.0.1:{sock.getsockname()[1]}")
    objects = InMemoryObjects()
    app = Starlette(routes=[Route("/{name}", files.get)])
    async with serving((app, sock)), open_weights(objects, LIMITS) as weights:
        yield World(files, objects, weights)


async def test_the_one_weights_file_is_taken(world: World) -> None:
    found = await world.copy()
    content = safetensors()
    assert found == Copied(hashlib.sha256(content).hexdigest(), len(content), frozenset({"01", "02"}))
    assert await world.objects.get(KEY, limit=1000) == content
    assert "authorization" not in world.files.seen[0]
    assert world.files.seen[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([("readme.txt", b"x")], "no weights file"),
        ([("a.safetensors", safetensors()), ("b.safetensors", safetensors())], "more than one"),
        ([("a.safetensors", b"")], "weights empty"),
        ([("a.safetensors", bytes(10_000_001))], "weights too large"),
        ([("a.safetensors", safetensors(length=(1 << 20) + 1))], "header too large"),
        ([("a.safetensors", safetensors(length=1 << 63))], "header too large"),
        ([("a.safetensors", safetensors(length=500))], "header length wrong"),
        ([("a.safetensors", safetensors(b"{broken"))], "header unreadable"),
    ],
)
async def test_what_is_unfit_is_refused(world: World, members: Sequence[tuple[str, bytes]], problem: str) -> None:
    world.files.body = archive(*members)
    assert problem in await world.refusal()


async def test_links_and_garbage_are_refused(world: World) -> None:
    world.files.body = b"x" * 5000
    assert "not readable" in await world.refusal()
    world.files.body = GOOD
    world.files.headers = {"content-encoding": "gzip"}
    assert "compressed" in await world.refusal()


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404, 410])
async def test_an_output_that_is_gone(world: World, status: int) -> None:
    world.files.status = status
    world.files.headers = {"location": f"{world.files.url}/elsewhere"}
    found = await world.copy()
    assert isinstance(found, Failure)
    assert found.code == "weights_unavailable"
    assert len(world.files.seen) == 1


@pytest.mark.parametrize(
    "url", [None, "file:///etc/passwd", "ftp://files.test/x", "http://user:pw@files.test/x", "http://", "http://[x/"]
)
async def test_addresses_that_are_not_followed(world: World, url: str | None) -> None:
    found = await world.weights.copy_out(url, MINE)
    assert isinstance(found, Failure)
    assert found.code == "weights_unavailable"


async def test_plain_http_is_for_one_machine_only(world: World) -> None:
    async with open_weights(world.objects, replace(LIMITS, insecure=False)) as strict:
        assert isinstance(await strict.copy_out(f"{world.files.url}/trained.tar", MINE), Failure)
    assert world.files.seen == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_host_in_trouble_is_tried_again(world: World, status: int) -> None:
    world.files.status = status
    with pytest.raises(Retryable):
        await world.copy()


async def test_a_transfer_that_breaks_off_leaves_nothing(world: World) -> None:
    world.files.body = GOOD[:1800]
    with pytest.raises(Retryable):
        await world.copy()
    assert await world.objects.head(KEY) is None


async def test_an_output_without_end_is_cut(world: World) -> None:
    big = ("samples/1.png", bytes(70 << 20))
    world.files.body = archive(big, ("a.safetensors", safetensors()))
    async with open_weights(world.objects, replace(LIMITS, bytes=1000)) as small:
        found = await small.copy_out(f"{world.files.url}/trained.tar", MINE)
    assert isinstance(found, Failure)
    assert "output too large" in found.what


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    sock = listen("127.0.0.1")
    found = Outside(f"http://127.0.0.1:{sock.getsockname()[1]}")
    routes = [Route("/users/app.u1/runs/r1/archive/{name}", found.fetch)]
    async with serving((Starlette(routes=routes), sock)):
        yield found


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    quick = {
        "destination": "lifemask/loras",
        "queue_seconds": 0.0,
        "training_seconds": 0.1,
        "weight_bytes": 300_000,
        "archive_patience_seconds": 0.2,
    }
    async with (
        running_sandbox(tmp_path / "sandbox", **quick) as urls,
        httpx.AsyncClient(trust_env=False) as web,
        at(urls) as trainings,
    ):
        yield Provider(trainings, urls, web)


async def test_a_whole_training_on_the_wire(provider: Provider, outside: Outside, tmp_path: Path) -> None:
    made = await provider.created(order(archive_url=outside.archive(twelve_photos())))
    done = await provider.reaches(made.id, Fate.SUCCEEDED)
    assert done.progress is not None
    assert (done.progress.percent, done.progress.step, done.progress.steps) == (100, 1000, 1000)
    objects = InMemoryObjects()
    async with open_weights(objects, LIMITS) as weights:
        copied = await weights.copy_out(done.weights_url, MINE)
    assert isinstance(copied, Copied)
    assert copied.captions == {f"{number:02d}" for number in range(12)}
    content = await objects.get(KEY, limit=1_000_000)
    assert hashlib.sha256(content).hexdigest() == copied.sha256
    (tmp_path / "lora.safetensors").write_bytes(content)
    with safe_open(tmp_path / "lora.safetensors", "np") as opened:
        assert len(list(opened.keys())) > 0


async def test_weights_of_another_training_carry_other_captions(provider: Provider, outside: Outside) -> None:
    strangers = zipped({f"stranger-{number}.jpg": picture(number) for number in range(12)})
    other = await provider.created(order(archive_url=outside.archive(strangers, "other.zip")))
    await provider.reaches(other.id, Fate.SUCCEEDED)
    await provider.fault("training", "foreign_weights")
    made = await provider.created(order(archive_url=outside.archive(twelve_photos())))
    done = await provider.reaches(made.id, Fate.SUCCEEDED)
    async with open_weights(InMemoryObjects(), LIMITS) as weights:
        copied = await weights.copy_out(done.weights_url, MINE)
    assert isinstance(copied, Copied)
    assert copied.captions == {f"stranger-{number}" for number in range(12)}


@pytest.mark.parametrize(("status", "final"), [(404, True), (410, True), (503, False)])
async def test_outputs_that_expired_on_the_wire(
    provider: Provider, outside: Outside, status: int, *, final: bool
) -> None:
    made = await provider.created(order(archive_url=outside.archive(twelve_photos())))
    done = await provider.reaches(made.id, Fate.SUCCEEDED)
    await provider.fault("output", "answer", status=status)
    async with open_weights(InMemoryObjects(), LIMITS) as weights:
        if final:
            assert isinstance(await weights.copy_out(done.weights_url, MINE), Failure)
        else:
            with pytest.raises(Retryable):
                await weights.copy_out(done.weights_url, MINE)


async def test_a_transfer_cut_on_the_wire_can_be_repeated(provider: Provider, outside: Outside) -> None:
    made = await provider.created(order(archive_url=outside.archive(twelve_photos())))
    done = await provider.reaches(made.id, Fate.SUCCEEDED)
    await provider.fault("output", "drop_after")
    async with open_weights(InMemoryObjects(), LIMITS) as weights:
        with pytest.raises(Retryable):
            await weights.copy_out(done.weights_url, MINE)
        assert isinstance(await weights.copy_out(done.weights_url, MINE), Copied)
