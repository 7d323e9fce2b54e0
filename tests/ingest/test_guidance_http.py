"""What anybody may read without a key: the words for people who pick photos, and what the API is."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.ingest.world import World, a_world

from lifemask.contracts import GUIDANCE, Guidance
from lifemask.ingest.http.app import describe


async def test_guidance_is_public_and_may_be_kept(world: World) -> None:
    answer = await world.http.get("/v1/guidance", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert tuple(Guidance.model_validate(one) for one in answer.json()) == GUIDANCE


async def test_the_served_document_is_the_committed_one(world: World) -> None:
    answer = await world.http.get("/v1/openapi.json", headers={"Authorization": ""})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == describe()
    assert "securitySchemes" in answer.json()["components"]


async def test_the_document_is_held_back_like_an_answer_to_a_stranger(
    database: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    """Its size makes it dear to send: a flood of such requests waits for the answers."""
    async with a_world(await database("ingest"), tmp_path, refusal_hold=0.3) as world:
        answer = await world.http.get("/v1/openapi.json")
        assert answer.elapsed.total_seconds() > 0.3
