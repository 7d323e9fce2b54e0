"""Files put straight into the store at targets of ours: one key, one size, one type, one SHA-256, for a while."""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest
from tests.doors.upstream import USER, Upstream
from tests.ingest.world import OTHER_AUTH, World, about, photo

from lifemask.contracts import ModelReady, PhotoReceived, RunAccepted
from lifemask.custody.steps import UPLOAD
from lifemask.testkit.custody import AllServices

Json = dict[str, Any]


def described(number: int, **changes: Any) -> Json:
    content = photo(number)
    return {
        "name": f"{number}.jpg",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content_type": "image/jpeg",
        **changes,
    }


async def targets(world: World, run: str, files: Sequence[Json]) -> list[Json]:
    answer = await world.http.post(f"/v1/users/u1/runs/{run}/uploads", json={"files": files})
    assert answer.status_code == 201, answer.text
    return cast("list[Json]", answer.json()["targets"])


async def put(world: World, target: Json, content: bytes, **headers: str) -> httpx.Response:
    return await world.http.request(
        target["method"], target["url"], content=content, headers=target["headers"] | headers
    )


async def listed(world: World, run: str) -> list[Json]:
    return cast("list[Json]", (await world.http.get(f"/v1/users/u1/runs/{run}/photos")).json()["photos"])


async def test_files_at_targets_become_a_sealed_run(world: World, upstream: Upstream) -> None:
    run = await world.draft()
    given = await targets(world, run, [described(number) for number in range(12)])
    assert [target["name"] for target in given] == [f"{number}.jpg" for number in range(12)]
    left = datetime.fromisoformat(given[0]["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    for number, target in enumerate(given):
        assert (await put(world, target, photo(number))).status_code == 200
    assert (await world.http.post(f"/v1/users/u1/runs/{run}/submit")).status_code == 202
    facts = await world.facts()
    (accepted,) = [fact for fact in facts if isinstance(fact, RunAccepted)]
    assert (accepted.photos, accepted.door) == (12, "presigned")
    assert len([fact for fact in facts if isinstance(fact, PhotoReceived)]) == 12
    link = await AllServices(upstream.objects).open(UPLOAD, accepted.statement, USER, run)
    assert sorted(each.id for each in link.manifest.photos) == sorted(target["photo_id"] for target in given)
    assert upstream.incoming == []


async def test_what_has_arrived_is_a_photo_as_soon_as_somebody_looks(world: World, upstream: Upstream) -> None:
    run = await world.draft()
    first, _ = await targets(world, run, [described(1), described(2)])
    assert await listed(world, run) == []
    await put(world, first, photo(1))
    (shown,) = await listed(world, run)
    assert (shown["id"], shown["name"], shown["media_type"]) == (first["photo_id"], "1.jpg", "image/jpeg")
    assert upstream.incoming == []


async def test_doors_may_be_mixed(world: World) -> None:
    run, _ = await world.filled(11)
    (target,) = await targets(world, run, [described(50)])
    await put(world, target, photo(50))
    await world.http.post(f"/v1/users/u1/runs/{run}/submit")
    (accepted,) = [fact for fact in await world.facts() if isinstance(fact, RunAccepted)]
    assert (accepted.photos, accepted.door) == (12, "http")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("content-type", "image/png"),
        ("if-none-match", ""),
        ("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(b"x").digest()).decode()),
        ("content-length", "20001"),
    ],
)
async def test_another_request_than_agreed_is_refused(
    world: World, upstream: Upstream, header: str, value: str
) -> None:
    (target,) = await targets(world, await world.draft(), [described(1)])
    answer = await put(world, target, photo(1), **{name: value for name in target["headers"] if name.lower() == header})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_as_agreed")
    assert header in answer.json()["detail"].lower()
    assert upstream.incoming == []


@pytest.mark.parametrize("content", [photo(2), photo(1)[:-1], photo(1) + b"x"], ids=["other", "short", "long"])
async def test_other_bytes_than_announced_leave_nothing(world: World, upstream: Upstream, content: bytes) -> None:
    run = await world.draft()
    (target,) = await targets(world, run, [described(1)])
    answer = await put(world, target, content)
    assert answer.status_code in {400, 413}
    assert (upstream.incoming, await listed(world, run)) == ([], [])
    assert (await put(world, target, photo(1))).status_code == 200
    assert len(await listed(world, run)) == 1


async def test_a_target_takes_its_file_once(world: World) -> None:
    (target,) = await targets(world, await world.draft(), [described(1)])
    await put(world, target, photo(1))
    answer = await put(world, target, photo(1))
    assert (answer.status_code, answer.json()["code"]) == (412, "already_there")


async def test_a_late_put_changes_nothing_and_is_swept(world: World, upstream: Upstream) -> None:
    run, _ = await world.filled(12)
    taken, late = await targets(world, run, [described(50), described(51)])
    await put(world, taken, photo(50))
    await world.http.post(f"/v1/users/u1/runs/{run}/submit")
    await put(world, taken, photo(50))
    await put(world, late, photo(51))
    assert len(upstream.incoming) == 2
    assert len(await listed(world, run)) == 13
    before = await world.facts()
    await world.http.post(f"/v1/users/u1/runs/{run}/submit")
    assert await world.facts() == before
    await world.receive(about(run, ModelReady))
    assert upstream.incoming == []
    await put(world, late, photo(51))
    await world.time_passes()
    assert upstream.incoming == []


async def test_an_object_that_was_changed_on_its_way_is_not_taken(world: World, upstream: Upstream) -> None:
    run = await world.draft()
    (target,) = await targets(world, run, [described(1)])
    await put(world, target, photo(1))
    (path,) = [path for path in (world.folder / "incoming").rglob("*") if path.is_file()]
    path.write_bytes(photo(2))
    assert await listed(world, run) == []
    assert (upstream.incoming, world.objects) == ([], [key for key in world.objects if "/original/" not in key])


async def test_two_looks_at_once_take_a_file_once(world: World, upstream: Upstream) -> None:
    run = await world.draft()
    given = await targets(world, run, [described(number) for number in range(12)])
    for number, target in enumerate(given):
        await put(world, target, photo(number))
    await asyncio.gather(*(listed(world, run) for _ in range(3)), world.http.post(f"/v1/users/u1/runs/{run}/submit"))
    assert len([fact for fact in await world.facts() if isinstance(fact, PhotoReceived)]) == 12
    assert len([key for key in world.objects if "/original/" in key]) == 12


async def test_the_same_file_at_two_targets_counts_once(world: World, upstream: Upstream) -> None:
    run = await world.draft()
    for target in await targets(world, run, [described(1), described(1)]):
        await put(world, target, photo(1))
    assert len(await listed(world, run)) == 1
    assert upstream.incoming == []
    assert len([key for key in world.objects if "/original/" in key]) == 1


async def test_an_expired_or_foreign_link_takes_nothing(world: World, upstream: Upstream) -> None:
    run = await world.draft()
    key = f"incoming/acme/u1/{run}/{run}"
    content = photo(1)
    terms = f"{len(content)} {hashlib.sha256(content).hexdigest()} image/jpeg"
    past, future = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1)
    for token, status in (
        (world.tokens.mint(key, "upload", past, terms), 410),
        (world.tokens.mint(key, "weights", future), 404),
        (world.tokens.mint(key, "upload", future, "nonsense"), 404),
        ("forged", 404),
    ):
        assert (await world.http.put(f"/v1/objects/{token}", content=content)).status_code == status
    token = world.tokens.mint(key, "upload", future, terms)
    assert (await world.http.get(f"/v1/objects/{token}")).status_code == 404
    assert upstream.incoming == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bytes": 9_999}, "files.1.bytes"),
        ({"bytes": 10_000_001}, "files.1.bytes"),
        ({"sha256": "nothing"}, "files.1.sha256"),
        ({"content_type": "text/html"}, "files.1.content_type"),
        ({"path": "../x"}, "files.1.path"),
    ],
)
async def test_a_file_that_cannot_be_a_photo_gets_no_target(world: World, changes: Json, field: str) -> None:
    run = await world.draft()
    files = [described(0), described(1, **changes)]
    answer = await world.http.post(f"/v1/users/u1/runs/{run}/uploads", json={"files": files})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await world.rows("select 1 from slot") == []


async def test_more_files_than_a_run_holds_get_no_target(world: World) -> None:
    run, _ = await world.filled(12)
    await targets(world, run, [described(number) for number in range(20, 100)])
    files = [described(number) for number in range(100, 109)]
    answer = await world.http.post(f"/v1/users/u1/runs/{run}/uploads", json={"files": files})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_photos")


async def test_only_a_draft_of_ones_own_gets_targets(world: World) -> None:
    run = await world.accepted()
    body = {"files": [described(1)]}
    assert (await world.http.post(f"/v1/users/u1/runs/{run}/uploads", json=body)).status_code == 409
    answer = await world.http.post(f"/v1/users/u1/runs/{run}/uploads", json=body, headers=OTHER_AUTH)
    assert answer.status_code == 404
