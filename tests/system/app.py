"""The public API as an app uses it, for one of its users."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from tests.system.photos import File
from tests.system.waiting import eventually

OVER = frozenset({"ready", "rejected", "failed", "canceled"})
View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """One user of one app. Answers are returned as they came where a test looks at them."""

    http: httpx.AsyncClient
    app: str
    name: str

    @property
    def bus_id(self) -> str:
        return f"{self.app}.{self.name}"

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"

    def path(self, *parts: str) -> str:
        return "/".join((f"/v1/users/{self.name}", *parts))

    async def introduce(self) -> None:
        """Leaves the mail address."""
        (await self.http.put(self.path("contact"), json={"email": self.email})).raise_for_status()

    async def draft(self, key: str | None = None, **request: Any) -> str:
        answer = await self.begin(key or uuid4().hex, **request)
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["id"])

    async def begin(self, key: str, **request: Any) -> httpx.Response:
        body = {"name": "Portrait", "trigger_word": "TOK"} | request
        return await self.http.post(self.path("runs"), json=body, headers={"Idempotency-Key": key})

    async def post(self, run: str, files: Sequence[File]) -> httpx.Response:
        sent = [("photos", (file.name, file.data)) for file in files]
        return await self.http.post(self.path("runs", run, "photos"), files=sent)

    async def send(self, run: str, files: Sequence[File]) -> list[View]:
        answer = await self.post(run, files)
        assert answer.status_code == 200, answer.text
        results: list[View] = answer.json()["results"]
        return results

    async def photos(self, run: str) -> list[View]:
        found: list[View] = (await self.http.get(self.path("runs", run, "photos"))).raise_for_status().json()["photos"]
        return found

    async def judged(self, run: str) -> dict[str, View]:
        """All photos by name, once every verdict is there."""

        async def settled() -> list[View]:
            photos = await self.photos(run)
            return [] if any(photo["status"] == "pending" for photo in photos) else photos

        return {photo["name"]: photo for photo in await eventually(settled)}

    async def submit(self, run: str) -> httpx.Response:
        return await self.http.post(self.path("runs", run, "submit"))

    async def filled(self, files: Sequence[File], **request: Any) -> str:
        """A draft with these photos, of a person with a mail address."""
        await self.introduce()
        run = await self.draft(**request)
        await self.send(run, files)
        return run

    async def accepted(self, files: Sequence[File], **request: Any) -> str:
        """A submitted run with these photos."""
        run = await self.filled(files, **request)
        answer = await self.submit(run)
        assert answer.status_code == 202, answer.text
        return run

    async def cancel(self, run: str) -> httpx.Response:
        return await self.http.post(self.path("runs", run, "cancel"))

    async def restart(self, run: str) -> httpx.Response:
        return await self.http.post(self.path("runs", run, "restart"))

    async def view(self, run: str) -> View:
        found: View = (await self.http.get(self.path("runs", run))).raise_for_status().json()
        return found

    async def training(self, run: str) -> View:
        """The run, once its training is known at the provider. Fails when it ended before."""

        async def started() -> View | None:
            view = await self.view(run)
            assert view["status"] not in OVER, view
            return view if view["training"].get("id") else None

        found = await eventually(started)
        assert found
        return found

    async def ended(self, run: str, seconds: float = 20.0) -> View:
        """The run at its terminal fact; a service that is starting again is waited for."""

        async def over() -> View | None:
            try:
                view = await self.view(run)
            except httpx.TransportError:
                return None
            return view if view["status"] in OVER else None

        found = await eventually(over, seconds)
        assert found
        return found

    async def events(self, run: str, after: str | None = None) -> list[dict[str, str]]:
        """The live stream to its end, one dictionary per event."""
        headers = {"Last-Event-ID": after} if after else {}
        async with asyncio.timeout(20), self.http.stream("GET", self.path("runs", run, "events"), headers=headers) as s:
            if s.status_code == 204:
                return []
            assert s.status_code == 200
            text = "".join([piece async for piece in s.aiter_text()])
        blocks = [block for block in text.split("\n\n") if block.startswith("id:")]
        return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
