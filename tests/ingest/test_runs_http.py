"""Drafts, submission, cancel: over HTTP, on real rows."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from tests.ingest.world import KEY, OTHER_AUTH, World, a_world, about, photo, write_apps

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts import (
    ModelReady,
    PhotoJudged,
    RunAccepted,
    RunCanceled,
    RunFailed,
    new_id,
)
from lifemask.contracts.signing import unseal
from lifemask.custody import Reader
from lifemask.custody.envelopes import PAYLOAD_TYPE
from lifemask.custody.steps import DISPOSAL
from lifemask.ingest.adapters.apps import AppsFile
from lifemask.objects import keys
from lifemask.objects.local import LocalObjects
from lifemask.testkit.keys import test_keys

RUNS = "/v1/users/u1/runs"


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}, {"Authorization": "Bearer "}],
)
async def test_without_a_valid_key_nothing_is_told(world: World, headers: dict[str, str]) -> None:
    world.http.headers.pop("Authorization")
    answer = await world.http.get(RUNS, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_app_sees_its_own_users_only(world: World) -> None:
    run = await world.draft()
    for method, path in [
        ("GET", run),
        ("GET", f"{run}/photos"),
        ("GET", f"{run}/events"),
        ("POST", f"{run}/submit"),
        ("POST", f"{run}/cancel"),
        ("DELETE", f"{run}/photos/{new_id()}"),
    ]:
        answer = await world.http.request(method, f"{RUNS}/{path}", headers=OTHER_AUTH)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    answer = await world.http.post(f"{RUNS}/{run}/photos", files={"a": ("a.jpg", photo(1))}, headers=OTHER_AUTH)
    assert answer.status_code == 404
    assert (await world.http.get(RUNS, headers=OTHER_AUTH)).json() == {"runs": [], "next": None}
    assert (await world.view(run))["status"] == "draft"


async def test_the_file_of_apps_is_read_again_when_it_changes(world: World) -> None:
    write_apps(world.settings.apps, acme="another-key")
    assert (await world.http.get(RUNS)).status_code == 401
    assert (await world.http.get(RUNS, headers={"Authorization": "Bearer another-key"})).status_code == 200
    world.settings.apps.write_text("{ no json")
    assert (await world.http.get(RUNS, headers={"Authorization": "Bearer another-key"})).status_code == 200


async def test_a_draft_is_shown_as_it_was_wished(world: World) -> None:
    answer = await world.http.post(
        RUNS, json={"name": "Me", "trigger_word": "ohwx", "steps": 500, "metadata": {"order": "7"}}
    )
    assert answer.status_code == 201
    view = answer.json()
    assert answer.headers["location"] == f"{RUNS}/{view['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (view["status"], view["stage"], view["progress"], view["whose_move"]) == ("draft", "request", 0, "you")
    assert view["photos"] == {"received": 0, "pending": 0, "usable": 0, "rejected": 0, "needed": 12}
    assert (view["name"], view["training"]["trigger_word"], view["metadata"]) == ("Me", "ohwx", {"order": "7"})
    assert await world.kinds() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x", "steps": 2}, "steps"),
        ({"name": "x", "steps": 6001}, "steps"),
        ({"name": "x", "rank": 0}, "rank"),
        ({"name": "x", "learning_rate": "1.5"}, "learning_rate"),
        ({"name": "x", "trigger_word": "two words"}, "trigger_word"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "x", "metadata": {"a": "\0"}}, "metadata.0"),
    ],
)
async def test_wrong_values_are_named_and_not_repeated(world: World, body: object, field: str) -> None:
    answer = await world.http.post(RUNS, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert '"input"' not in answer.text


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 422), (b"[" * 60_000, 422), (b"x" * 70_000, 413), (b'{"name": "\\ud800"}', 422)]
)
async def test_hostile_bodies_get_a_problem(world: World, content: bytes, status: int) -> None:
    answer = await world.http.post(RUNS, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["next_step"]


async def test_what_the_framework_refuses_is_a_problem_too(world: World) -> None:
    for method, path, status in [
        ("GET", "/nothing", 404),
        ("PATCH", RUNS, 405),
        ("GET", f"{RUNS}/not-an-id", 422),
        ("GET", "/v1/users/a@b.c/runs", 422),
        ("GET", f"{RUNS}?limit=1000", 422),
    ]:
        answer = await world.http.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code", "next_step"} <= answer.json().keys()


async def test_a_fault_of_ours_shows_no_trace(world: World) -> None:
    run = await world.draft()
    async with world.service.bus.rows.reading("acme.u1", locks=True) as connection:
        await connection.execute("update run set request = 'broken'")
    answer = await world.http.get(f"{RUNS}/{run}")
    assert (answer.status_code, answer.json()["code"], answer.json()["run_id"]) == (500, "internal", run)
    assert "Traceback" not in answer.text


async def test_a_key_names_one_request(world: World) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await world.http.post(RUNS, json={"name": "Me"}, headers=key)
    again = await world.http.post(RUNS, json={"steps": 1000, "name": "Me"}, headers=key)
    other = await world.http.post(RUNS, json={"name": "You"}, headers=key)
    elsewhere = await world.http.post("/v1/users/u2/runs", json={"name": "You"}, headers=key)
    assert [answer.status_code for answer in (first, again, other, elsewhere)] == [201, 200, 409, 201]
    assert first.json()["id"] == again.json()["id"] == other.json()["run_id"]
    assert other.json()["code"] == "idempotency_conflict"


async def test_a_key_used_by_many_at_once_names_one_run(world: World) -> None:
    key = {"Idempotency-Key": "order-1"}
    answers = await asyncio.gather(*(world.http.post(RUNS, json={"name": "Me"}, headers=key) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await world.rows("select 1 from run")) == 1
    assert len(await world.service.bus.pool.fetch("select 1 from baton")) == 1


async def test_runs_are_paged_newest_first(world: World) -> None:
    made = [await world.draft() for _ in range(5)]
    first = (await world.http.get(f"{RUNS}?limit=2")).json()
    second = (await world.http.get(f"{RUNS}?limit=2&cursor={first['next']}")).json()
    third = (await world.http.get(f"{RUNS}?limit=2&cursor={second['next']}")).json()
    shown = [run["id"] for page in (first, second, third) for run in page["runs"]]
    assert shown == sorted(made, reverse=True)
    assert third["next"] is None


async def test_too_few_photos_tell_how_many_more_and_why(world: World) -> None:
    run, photos = await world.filled(13)
    judged = [about(run, PhotoJudged, photo_id=photo, usable=False, verdicts=("blurry",)) for photo in photos[:3]]
    await world.receive(*judged)
    answer = await world.http.post(f"{RUNS}/{run}/submit")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["needed"]) == (422, "too_few_usable", 2)
    assert problem["detail"].startswith("2 more photos needed")
    assert problem["run_id"] == run
    unfit = [photo for photo in problem["photos"] if photo["status"] == "rejected"]
    assert [photo["name"] for photo in unfit] == ["0.jpg", "1.jpg", "2.jpg"]
    assert unfit[0]["verdicts"][0]["sentence"].startswith("The photo is too blurry.")
    assert (await world.view(run))["status"] == "draft"
    await world.upload(run, ("a.jpg", photo(90)), ("b.jpg", photo(91)))
    assert (await world.http.post(f"{RUNS}/{run}/submit")).status_code == 202


async def test_submit_seals_the_set_and_passes_the_run_on(world: World) -> None:
    run, photos = await world.filled(12)
    cut_off = world.folder / f"users/acme.u1/runs/{run}/original/{new_id()}"
    cut_off.write_bytes(photo(12))  # by a process that ended before its row was stored
    first = await world.http.post(f"{RUNS}/{run}/submit")
    again = await world.http.post(f"{RUNS}/{run}/submit")
    assert (first.status_code, first.json()["status"]) == (202, "accepted")
    assert (again.status_code, again.json()["id"]) == (202, run)
    assert await world.kinds() == ["PhotoReceived"] * 12 + ["RunAccepted"]
    accepted = (await world.facts())[-1]
    assert isinstance(accepted, RunAccepted)
    assert (accepted.photos, accepted.door) == (12, "http")
    base = world.folder / f"users/acme.u1/runs/{run}"
    statement = unseal((base / "custody/1-upload-1.dsse.json").read_bytes(), PAYLOAD_TYPE).payload
    assert hashlib.sha256(statement).hexdigest() == accepted.statement
    manifest = json.loads((base / "custody/1-upload-1.manifest.json").read_text())
    assert [each["id"] for each in manifest["photos"]] == photos
    assert sorted(path.name for path in cut_off.parent.iterdir()) == sorted(photos)
    assert manifest["photos"][0]["sha256"] == hashlib.sha256(photo(0)).hexdigest()
    assert manifest["request"] == hashlib.sha256((base / "request.json").read_bytes()).hexdigest()
    await world.echo()
    assert (await world.view(run))["status"] == "validating"


async def test_a_submission_that_died_half_way_is_finished_by_itself(world: World) -> None:
    run, _ = await world.filled()
    in_the_way = world.folder / f"users/acme.u1/runs/{run}/request.json"
    in_the_way.mkdir()  # the store cannot write there now
    answer = await world.http.post(f"{RUNS}/{run}/submit")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert "RunAccepted" not in await world.kinds()
    assert (await world.http.delete(f"{RUNS}/{run}/photos/{new_id()}")).status_code == 409
    await _is_due(world, "seal-upload")
    assert "RunAccepted" not in await world.kinds()
    in_the_way.rmdir()
    await _is_due(world, "seal-upload")
    assert (await world.kinds())[-1] == "RunAccepted"
    await world.time_passes()
    assert await world.kinds() == ["PhotoReceived"] * 12 + ["RunAccepted"]


async def test_a_submission_that_never_succeeds_fails(world: World) -> None:
    run, _ = await world.filled()
    (world.folder / f"users/acme.u1/runs/{run}/request.json").mkdir()
    await world.http.post(f"{RUNS}/{run}/submit")
    await _is_due(world, "give-up")
    view = await world.view(run)
    assert (view["status"], view["stage"], view["attempts"][0]["code"]) == ("failed", "request", "deadline")
    await _is_due(world, "seal-upload")
    assert (await world.kinds())[12:] == ["RunFailed"]
    assert (await world.service.readiness()).paused is None


async def _is_due(world: World, reminder: str) -> None:
    await world.service.bus.pool.execute(
        "update reminder set due_at = now() where type = $1", f"lifemask.ingest.{reminder}.v1"
    )
    await world.settle()


async def test_two_submissions_at_once_accept_once(world: World) -> None:
    run, _ = await world.filled()
    answers = await asyncio.gather(*(world.http.post(f"{RUNS}/{run}/submit") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert (await world.kinds()).count("RunAccepted") == 1


async def test_a_draft_is_cancelled_at_once(world: World) -> None:
    run, _ = await world.filled(2)
    first = await world.http.post(f"{RUNS}/{run}/cancel")
    again = await world.http.post(f"{RUNS}/{run}/cancel")
    assert (first.status_code, first.json()["status"]) == (202, "canceled")
    assert (again.status_code, again.json()["status"]) == (200, "canceled")
    assert (await world.kinds())[2:] == ["RunCanceled"]
    answer = await world.http.post(f"{RUNS}/{run}/submit")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_a_draft")
    answer = await world.http.post(f"{RUNS}/{run}/photos", files={"a": ("a.jpg", photo(3))})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_a_draft")


async def test_an_accepted_run_is_cancelled_by_whoever_holds_it(world: World) -> None:
    run = await world.accepted()
    answer = await world.http.post(f"{RUNS}/{run}/cancel")
    assert answer.status_code == 202
    assert answer.json()["summary"] == "The run is being cancelled."
    assert (await world.kinds())[-1] == "RunCancelRequested"
    await world.receive(about(run, RunCanceled, stage="package", reason="requested"))
    view = await world.view(run)
    assert (view["status"], view["stage"]) == ("canceled", "package")


@pytest.mark.parametrize(("kind", "status"), [(ModelReady, "ready"), (RunFailed, "failed")])
async def test_a_run_that_ended_cannot_be_cancelled(
    world: World, kind: type[ModelReady | RunFailed], status: str
) -> None:
    run = await world.accepted()
    await world.receive(about(run, kind))
    answer = await world.http.post(f"{RUNS}/{run}/cancel")
    assert (answer.status_code, answer.json()["code"], answer.json()["run_status"]) == (409, "run_over", status)
    assert (await world.http.post(f"{RUNS}/{run}/submit")).status_code == 202


async def test_a_draft_that_nobody_submits_is_closed(world: World) -> None:
    run, _ = await world.filled(2)
    await world.time_passes()
    await world.echo()
    await world.time_passes()
    assert (await world.facts())[-1] == RunCanceled(
        user_id="acme.u1", run_id=run, stage="request", reason="draft_expired"
    )
    assert (await world.view(run))["status"] == "canceled"
    assert not any("/original/" in key or "names" in key for key in world.objects)
    disposed = {row["what"]: row["objects"] for row in await world.rows("select * from disposal")}
    assert disposed == {"original": 2, "names": 1}
    store = LocalObjects(world.folder)
    [told] = [info.key async for info in store.list(keys.acts_prefix("acme.u1", run, "disposal"))]
    disposal = await Reader(store, test_keys().keyring).act(DISPOSAL, told, "acme.u1", run, seen=None)
    assert (disposal.fields.actor, disposal.fields.reason) == ("ingest", RunCanceled.ce_type)
    assert [(gone.what, gone.objects) for gone in disposal.fields.gone] == [("original", 2), ("names", 1)]


async def test_a_submitted_run_does_not_expire(world: World) -> None:
    run = await world.accepted()
    await world.time_passes()
    assert (await world.view(run))["status"] == "validating"
    assert "RunCanceled" not in await world.kinds()


async def test_a_request_that_takes_too_long_is_let_go(
    database: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    async with a_world(await database("ingest"), tmp_path, request_timeout=2) as world:
        run = await world.draft()
        other = await asyncpg.connect(world.settings.postgres, server_settings={"search_path": "ingest"})
        async with other.transaction():
            await other.execute("select set_config('lifemask.user', 'acme.u1', true)")
            await other.execute("select 1 from run for update")
            answer = await world.http.post(f"{RUNS}/{run}/cancel")
        await other.close()
        assert (answer.status_code, answer.json()["code"]) == (503, "request_timeout")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await world.view(run))["status"] == "draft"


async def test_browsers_of_other_origins_are_let_in_by_name_only(
    database: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    dsn = await database("ingest")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with a_world(dsn, tmp_path) as world:
        assert "access-control-allow-origin" not in (await world.http.get(RUNS, headers=asked)).headers
    async with a_world(dsn, tmp_path, cors_origins=("https://app.example",)) as world:
        answer = await world.http.options(RUNS, headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("content", [None, "{", '{"apps": {"a.b": {"key_sha256": "x"}}}', "[]"])
def test_a_file_of_apps_that_cannot_be_read_stops_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "apps.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Misconfigured, match="LIFEMASK_APPS"):
        AppsFile(path)


async def test_the_openapi_document_needs_no_service(tmp_path: Path) -> None:
    from lifemask.ingest.http.app import describe

    document = describe()
    assert set(document["paths"]) == {
        "/v1/guidance",
        "/v1/users/{user}",
        "/v1/users/{user}/contact",
        "/v1/users/{user}/models",
        "/v1/users/{user}/models/{model}",
        "/v1/users/{user}/runs",
        "/v1/users/{user}/runs/{run}",
        "/v1/users/{user}/runs/{run}/submit",
        "/v1/users/{user}/runs/{run}/cancel",
        "/v1/users/{user}/runs/{run}/restart",
        "/v1/users/{user}/runs/{run}/events",
        "/v1/users/{user}/runs/{run}/photos",
        "/v1/users/{user}/runs/{run}/photos/{photo}",
        "/v1/users/{user}/runs/{run}/uploads",
        "/v1/objects/{token}",
        "/v1/callbacks/replicate/{token}",
    }
