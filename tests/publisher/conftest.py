"""A hub on this machine, and a model in a store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.publisher.world import RUN, USER, WEIGHTS, publication, trained

from lifemask.objects import keys
from lifemask.publisher.adapters.hub import HuggingFaceHub, open_hub
from lifemask.publisher.adapters.store import StoredModels
from lifemask.sandbox.server import SandboxUrls, running_sandbox
from lifemask.testkit.objects import InMemoryObjects


@dataclass
class HubWorld:
    """The adapter, the store it reads from, and the sandbox's own view of what was published."""

    hub: HuggingFaceHub
    objects: InMemoryObjects
    urls: SandboxUrls
    client: httpx.AsyncClient
    checks: list[str] = field(default_factory=list)

    async def check(self) -> None:
        self.checks.append("checked")

    async def fails(self, operation: str, effect: str, **details: Any) -> None:
        answer = await self.client.post(self.urls.faults, json={"operation": operation, "effect": effect, **details})
        assert answer.status_code == 200, answer.text

    async def heals(self) -> None:
        await self.client.delete(self.urls.faults)

    async def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(self.urls.ledger)).json()
        return found

    async def our_commits(self) -> int:
        return sum(not commit["by_hub"] for commit in (await self.ledger())["commits"])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HubWorld]:
    objects = InMemoryObjects()
    await objects.put(keys.weights(USER, RUN, 1), WEIGHTS)
    await StoredModels(objects).copy_weights(publication(), trained())
    async with (
        running_sandbox(tmp_path / "sandbox") as urls,
        open_hub(objects, token=urls.hub_token, endpoint=urls.hub, patience=5, threads=2) as hub,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        yield HubWorld(hub, objects, urls, client)
