"""The words for people who pick photos, as apps fetch them."""

from tests.ingest.world import World

from lifemask.contracts import GUIDANCE, Guidance


async def test_guidance_is_public_and_may_be_kept(world: World) -> None:
    answer = await world.http.get("/v1/guidance", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert tuple(Guidance.model_validate(one) for one in answer.json()) == GUIDANCE
