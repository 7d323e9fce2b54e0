"""The world outside of the sandbox: archives to fetch, a receiver of webhooks, the client of the provider."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from PIL import Image
from replicate.client import Client
from starlette.requests import Request
from starlette.responses import Response

from lifemask.sandbox.server import SandboxUrls

T = TypeVar("T")
VERSION = "a" * 64


def picture(shade: int = 90, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (shade, 120, 200)).save(out, kind)
    return out.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def twelve_photos() -> bytes:
    return zipped({f"{number:02d}.jpg": picture(number) for number in range(12)})


async def until(look: Callable[[], Awaitable[T | None]], seconds: float = 10) -> T:
    """Asks again and again until there is an answer, for at most `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(0.02)


class Outside:
    """Serves archives by name (a number answers that status) and records webhooks."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.archives: dict[str, bytes | int] = {}
        self.hooks: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.outages: list[int] = []

    def archive(self, content: bytes | int, name: str = "1.zip") -> str:
        self.archives[name] = content
        return f"{self.url}/users/app.u1/runs/r1/archive/{name}?signature=secret"

    @property
    def hook(self) -> str:
        return f"{self.url}/hook"

    async def completed(self) -> dict[str, Any] | None:
        bodies = [json.loads(body) for _, body in self.hooks]
        return next((body for body in bodies if body["completed_at"]), None)

    async def fetch(self, request: Request) -> Response:
        content = self.outages.pop() if self.outages else self.archives[request.path_params["name"]]
        return Response(content) if isinstance(content, bytes) else Response(status_code=content)

    async def receive(self, request: Request) -> Response:
        self.hooks.append((dict(request.headers), await request.body()))
        return Response(status_code=self.answers.pop(0) if self.answers else 200)


class Provider:
    """The unmodified client of Replicate at a sandbox, with the calls these tests make again and again."""

    def __init__(self, urls: SandboxUrls, web: httpx.AsyncClient) -> None:
        self.urls = urls
        self.web = web
        self.client = Client(api_token=urls.replicate_token, base_url=urls.replicate)

    async def create(self, archive: str, **more: Any) -> Any:
        values = {"input_images": archive, "trigger_word": "TOK", **more.pop("values", {})}
        return await self.client.trainings.async_create(
            model="ostris/flux-dev-lora-trainer",
            version=VERSION,
            input=values,
            destination=more.pop("destination", "lifemask/loras"),
            **more,
        )

    async def raw(self, training: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.urls.replicate_token}"}
        answer = await self.web.get(f"{self.urls.replicate}/v1/trainings/{training}", headers=headers)
        return dict(answer.raise_for_status().json())

    async def ended(self, training: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            seen = await self.raw(training)
            return seen if seen["completed_at"] else None

        return await until(look)

    async def images(self) -> int:
        """How many images the first training's archive held, once it was fetched."""

        async def look() -> int | None:
            images: int | None = (await self.ledger())["trainings"][0]["images"]
            return images

        return await until(look)

    async def settled(self, training: str) -> None:
        """Until nothing more will be told about the training."""

        async def look() -> bool:
            rows = (await self.ledger())["trainings"]
            return bool(next(row["is_settled"] for row in rows if row["id"] == training))

        await until(look)

    async def until_gone(self, url: str) -> None:
        async def look() -> bool:
            return (await self.web.get(url)).status_code == 404

        await until(look)

    async def ledger(self) -> dict[str, Any]:
        return dict((await self.web.get(self.urls.ledger)).raise_for_status().json())

    async def fault(self, operation: str, effect: str, **more: Any) -> None:
        answer = await self.web.post(self.urls.faults, json={"operation": operation, "effect": effect, **more})
        answer.raise_for_status()


@asynccontextmanager
async def provider_at(urls: SandboxUrls) -> AsyncIterator[Provider]:
    async with httpx.AsyncClient() as web:
        provider = Provider(urls, web)
        yield provider
        await provider.client._async_client.aclose()  # it offers no way of its own
