"""A running sandbox, and the world outside of it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from tests.sandbox.world import Outside, Provider, provider_at

from lifemask.sandbox.listening import listen, serving
from lifemask.sandbox.server import running_sandbox

os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when huggingface_hub is first imported, which happens inside tests


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    sock = listen("127.0.0.1")
    world = Outside(f"http://127.0.0.1:{sock.getsockname()[1]}")
    routes = [
        Route("/users/app.u1/runs/r1/archive/{name}", world.fetch),
        Route("/hook", world.receive, methods=["POST"]),
    ]
    async with serving((Starlette(routes=routes), sock)):
        yield world


@pytest.fixture
def quick() -> dict[str, Any]:
    """Settings under which a training takes less than a second."""
    return {
        "destination": "lifemask/loras",
        "queue_seconds": 0.05,
        "training_seconds": 0.2,
        "weight_bytes": 300_000,
        "webhook_retry_seconds": 3,
        "archive_patience_seconds": 4,
    }


@pytest.fixture
async def provider(tmp_path: Path, quick: dict[str, Any]) -> AsyncIterator[Provider]:
    async with running_sandbox(tmp_path / "sandbox", **quick) as urls, provider_at(urls) as provider:
        yield provider
