"""Starting again: over HTTP, on real rows and real objects."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from tests.ingest.world import OTHER_AUTH, World, a_world, about, photo

from lifemask.contracts import (
    Failure,
    FailureCode,
    ModelReady,
    PhotoReceived,
    RunAccepted,
    RunCanceled,
    RunEvent,
    RunFailed,
    RunRejected,
    new_id,
)
from lifemask.contracts.uploads import photo_id_of
from lifemask.objects import keys

RUNS = "/v1/users/u1/runs"
USER = "acme.u1"
CUSTODY = Failure.of(FailureCode.CUSTODY_BROKEN, link="upload")


async def restart(world: World, run: str, *, body: Any = None, user: str = "u1", **headers: str) -> Response:
    given = {} if body is None else {"json": body}
    return await world.http.post(f"/v1/users/{user}/runs/{run}/restart", headers=headers, **given)


async def ended(world: World, kind: type[RunEvent] = RunFailed, **changes: Any) -> str:
    """A run of twelve photos that was accepted and ended so."""
    run = await world.accepted()
    await world.receive(about(run, kind, **changes))
    return run


def original(world: World, run: str, photo_id: str) -> Path:
    return world.folder / keys.original(USER, run, photo_id)


async def photos(world: World, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.http.get(f"{RUNS}/{run}/photos")).json()["photos"]
    return found


async def said_of(world: World, run: str) -> list[str]:
    """Names of the events of one run."""
    return [type(fact).__name__ for fact in await world.facts() if isinstance(fact, RunEvent) and fact.run_id == run]


def refusal(answer: Response) -> tuple[int, str]:
    assert answer.json()["next_step"]
    return answer.status_code, answer.json()["code"]


async def test_a_failed_run_starts_again_in_one_call(world: World) -> None:
    run = await ended(world)
    answer = await restart(world, run)
    view = answer.json()
    assert (answer.status_code, view["status"], view["restarted_from"]) == (201, "draft", run)
    assert answer.headers["location"] == f"{RUNS}/{view['id']}"
    assert (view["photos"]["received"], view["photos"]["pending"], view["whose_move"]) == (12, 12, "us")
    await world.settle()
    await world.echo()
    assert await said_of(world, view["id"]) == ["PhotoReceived"] * 12 + ["RunAccepted"]
    accepted = next(each for each in await world.facts() if isinstance(each, RunAccepted) and each.run_id == view["id"])
    assert (accepted.photos, accepted.door) == (12, "restart")
    assert (await world.view(view["id"]))["status"] == "validating"
    before = await world.view(run)
    assert (before["status"], before["restarted_as"], before["whose_move"]) == ("failed", view["id"], "nobody")


async def test_the_new_run_is_bound_anew(world: World) -> None:
    """Other salt, other commitments, the same bytes; the statement says what it was made from."""
    run = await ended(world)
    new = (await restart(world, run)).json()["id"]
    await world.settle()
    known = {each["name"]: each["id"] for each in await photos(world, run)}
    again = {each["name"]: each["id"] for each in await photos(world, new)}
    assert again == {name: photo_id_of(new, photo_id) for name, photo_id in known.items()}
    for name, photo_id in again.items():
        assert original(world, new, photo_id).read_bytes() == original(world, run, known[name]).read_bytes()
    bound = [each for each in await world.facts() if isinstance(each, PhotoReceived)]
    assert {each.photo_id for each in bound if each.run_id == new} == set(again.values())
    assert len({each.commitment for each in bound}) == 24
    stated = json.loads(statement_of(world, new).read_bytes())
    if "payload" in stated:
        stated = json.loads(base64.b64decode(stated["payload"]))
    assert stated["predicate"]["restarted_from"] == run


def statement_of(world: World, run: str) -> Path:
    """The file of the upload statement."""
    files = (world.folder / keys.run_prefix(USER, run) / "custody").glob("1-upload-1.*")
    (statement,) = (file for file in files if "manifest" not in file.name)
    return statement


@pytest.mark.parametrize(
    ("kind", "changes"), [(RunRejected, {}), (RunCanceled, {"stage": "train", "reason": "requested"})]
)
async def test_a_rejected_or_cancelled_run_waits_as_a_draft(
    world: World, kind: type[RunEvent], changes: dict[str, object]
) -> None:
    run = await ended(world, kind, **changes)
    new = (await restart(world, run)).json()["id"]
    await world.settle()
    assert (await world.view(new))["status"] == "draft"
    first, *_ = await photos(world, new)
    assert (await world.http.delete(f"{RUNS}/{new}/photos/{first['id']}")).status_code == 204
    (added,) = await world.upload(new, ("new.jpg", photo(99)))
    (same,) = await world.upload(new, ("same.jpg", photo(5)))
    assert (added["status"], same["status"]) == ("received", "duplicate")
    assert (await world.http.post(f"{RUNS}/{new}/submit")).status_code == 202
    accepted = next(each for each in await world.facts() if isinstance(each, RunAccepted) and each.run_id == new)
    assert (accepted.photos, accepted.door) == (12, "http")


async def test_the_caller_may_choose(world: World) -> None:
    failed, canceled = await ended(world), await ended(world, RunCanceled, stage="train", reason="requested")
    waiting = (await restart(world, failed, body={"submit": False})).json()["id"]
    running = (await restart(world, canceled, body={"submit": True})).json()["id"]
    await world.settle()
    assert "RunAccepted" not in await said_of(world, waiting)
    assert "RunAccepted" in await said_of(world, running)
    assert refusal(await restart(world, failed, body={"submit": "perhaps"})) == (422, "invalid_request")
    assert refusal(await restart(world, failed, body={"now": True})) == (422, "invalid_request")


async def test_with_too_few_photos_it_stays_a_draft(world: World) -> None:
    run, _ = await world.filled(3)
    await world.http.post(f"{RUNS}/{run}/cancel")
    new = (await restart(world, run, body={"submit": True})).json()["id"]
    await world.settle()
    view = await world.view(new)
    assert (view["status"], view["whose_move"], view["photos"]["needed"]) == ("draft", "you", 9)


async def test_the_same_restart_answers_the_same_run(world: World) -> None:
    run = await ended(world)
    first = await restart(world, run)
    again = await restart(world, run)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    await world.time_passes()
    later = await restart(world, run)
    assert (later.status_code, later.json()["id"]) == (200, first.json()["id"])


async def test_many_restarts_at_once_make_one_run(world: World) -> None:
    run = await ended(world)
    answers = await asyncio.gather(*(restart(world, run) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    await world.settle()
    assert len((await world.http.get(RUNS)).json()["runs"]) == 2
    assert (await world.kinds()).count("RunAccepted") == 2


async def test_another_users_run_is_not_found(world: World) -> None:
    run = await ended(world)
    assert refusal(await restart(world, run, user="u2")) == (404, "not_found")
    assert refusal(await restart(world, run, **OTHER_AUTH)) == (404, "not_found")
    assert refusal(await restart(world, new_id())) == (404, "not_found")
    assert (await world.view(run))["restarted_as"] is None
    assert (await restart(world, run)).status_code == 201


@pytest.mark.parametrize(
    ("kind", "changes", "code"),
    [(ModelReady, {}, "run_ready"), (RunFailed, {"stage": "validate", "failure": CUSTODY}, "custody_broken")],
)
async def test_what_cannot_start_again_says_why(
    world: World, kind: type[RunEvent], changes: dict[str, object], code: str
) -> None:
    run = await ended(world, kind, **changes)
    assert refusal(await restart(world, run)) == (409, code)


async def test_a_run_that_has_not_ended_cannot_start_again(world: World) -> None:
    draft, accepted = await world.draft(), await world.accepted()
    assert refusal(await restart(world, draft)) == (409, "run_live")
    assert refusal(await restart(world, accepted)) == (409, "run_live")
    await world.http.post(f"{RUNS}/{draft}/cancel")
    assert refusal(await restart(world, draft)) == (409, "no_photos")


async def test_a_draft_that_expired_cannot_start_again(world: World) -> None:
    run, _ = await world.filled(2)
    await world.time_passes()
    await world.echo()
    assert refusal(await restart(world, run)) == (409, "draft_expired")


async def test_photos_that_are_deleted_are_gone(world: World) -> None:
    run = await ended(world)
    await world.time_passes()
    assert refusal(await restart(world, run)) == (410, "photos_gone")


async def test_the_time_is_over_even_before_they_are_deleted(
    database: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    async with a_world(await database("ingest"), tmp_path, originals_hours=0.5 / 3600) as world:
        run = await world.accepted()
        await world.receive(about(run, RunFailed))
        pool = world.service.bus.pool
        await pool.execute("select pg_sleep(0.6)")
        assert refusal(await restart(world, run)) == (410, "photos_gone")


async def is_due(world: World, reminder: str) -> None:
    await world.service.bus.pool.execute(
        "update reminder set due_at = now() where type = $1", f"lifemask.ingest.{reminder}.v1"
    )
    await world.settle()


async def test_originals_stay_until_they_are_copied(world: World) -> None:
    run = await ended(world)
    new = (await restart(world, run)).json()["id"]
    pool = world.service.bus.pool
    await pool.execute("update reminder set due_at = now() + interval '1 h' where type like '%bring-over%'")
    await is_due(world, "clear-originals")
    assert len(list(original(world, run, run).parent.iterdir())) == 12
    await is_due(world, "bring-over")
    assert "RunAccepted" in await said_of(world, new)
    await is_due(world, "clear-originals")
    assert [key for key in world.objects if f"{run}/original" in key] == []
    assert len(list(original(world, new, new).parent.iterdir())) == 12


async def test_an_original_that_was_changed_is_refused(world: World) -> None:
    run = await ended(world)
    victim = (await photos(world, run))[7]["id"]
    original(world, run, victim).write_bytes(photo(77))
    await assert_refused(world, run, "restart: an original differs from its upload")


async def test_an_original_that_is_missing_is_refused(world: World) -> None:
    run = await ended(world)
    original(world, run, (await photos(world, run))[0]["id"]).unlink()
    await assert_refused(world, run, "restart: an original is missing")


async def test_rows_and_objects_changed_alike_do_not_match_the_statement(world: World) -> None:
    run = await ended(world)
    victim, other = (await photos(world, run))[0]["id"], photo(77)
    original(world, run, victim).write_bytes(other)
    await change_rows(world, "update photo set sha256 = encode(sha256($1), 'hex') where photo_id = $2", other, victim)
    await assert_refused(world, run, "restart: a photo differs from the upload statement")


async def test_a_changed_statement_is_refused(world: World) -> None:
    run = await ended(world)
    data = bytearray((file := statement_of(world, run)).read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    await assert_refused(world, run, "upload")


CHANGED = """
update photo set sha256 = $1 where run_id = $2 and photo_id = (select max(photo_id) from photo where run_id = $2)
"""


async def test_a_row_of_the_new_run_that_was_changed_is_refused(world: World) -> None:
    run = await ended(world)
    new = (await restart(world, run)).json()["id"]
    await change_rows(world, CHANGED, "ab" * 32, new)
    await assert_refused(world, run, "restart: a photo differs from the earlier run's")


async def assert_refused(world: World, run: str, link: str) -> None:
    """The new run fails as a matter of custody, says which link, and cannot be started again; nothing was accepted."""
    new = (await restart(world, run)).json()["id"]
    await world.settle()
    await world.echo()
    view = await world.view(new)
    assert (view["status"], view["whose_move"]) == ("failed", "us")
    assert link in view["summary"]
    assert "RunAccepted" not in await said_of(world, new)
    assert refusal(await restart(world, new)) == (409, "custody_broken")


async def change_rows(world: World, sql: str, *values: object) -> None:
    async with world.service.bus.rows.reading(USER, locks=True) as connection:
        await connection.execute(sql, *values)


BRAKE = """
create function brake() returns trigger language plpgsql as $$ begin
    if not pg_try_advisory_xact_lock(7) then raise exception 'the database goes away'; end if;
    return new;
end $$;
create trigger brake before update of here on photo for each row execute function brake()
"""
"""As long as a test holds the lock, no copied photo can be committed."""


async def test_a_crash_between_copy_and_commit_changes_nothing(
    database: Callable[[str, str], Awaitable[str]], tmp_path: Path
) -> None:
    """The message is worked on again: the same objects, one event for each photo."""
    async with a_world(await database("ingest", BRAKE), tmp_path) as world:
        run = await ended(world)
        new = (await restart(world, run)).json()["id"]
        pool = world.service.bus.pool
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(7)")
            await world.settle()
        assert await said_of(world, new) == []
        assert len([key for key in world.objects if f"{new}/original" in key]) == 4
        await pool.execute("update lane set ready_at = now()")
        await world.settle()
        assert await said_of(world, new) == ["PhotoReceived"] * 12 + ["RunAccepted"]


async def test_a_photo_taken_out_while_it_is_copied_leaves_nothing(world: World) -> None:
    run = await ended(world, RunRejected)
    new = (await restart(world, run)).json()["id"]
    first, *others = await photos(world, new)
    assert (await world.http.delete(f"{RUNS}/{new}/photos/{first['id']}")).status_code == 204
    assert refusal(await world.http.post(f"{RUNS}/{new}/submit"))[1] in {"photos_coming", "too_few_usable"}
    await world.settle()
    assert [each["id"] for each in await photos(world, new)] == [each["id"] for each in others]
    assert not original(world, new, first["id"]).exists()


async def test_a_draft_is_not_submitted_before_its_photos_are_there(world: World) -> None:
    run = await ended(world, RunRejected)
    new = (await restart(world, run)).json()["id"]
    assert refusal(await world.http.post(f"{RUNS}/{new}/submit")) == (409, "photos_coming")
    await world.settle()
    assert (await world.http.post(f"{RUNS}/{new}/submit")).status_code == 202


async def test_a_cancelled_restart_copies_nothing_more(world: World) -> None:
    run = await ended(world)
    new = (await restart(world, run)).json()["id"]
    assert (await world.http.post(f"{RUNS}/{new}/cancel")).json()["status"] == "canceled"
    await world.settle()
    assert await said_of(world, new) == ["RunCanceled"]
    assert [key for key in world.objects if new in key] == []


async def test_a_restart_can_start_again(world: World) -> None:
    run = await ended(world)
    second = (await restart(world, run)).json()["id"]
    await world.settle()
    await world.echo()
    await world.receive(about(second, RunFailed))
    third = (await restart(world, second)).json()
    assert third["restarted_from"] == second
    await world.settle()
    assert "RunAccepted" in await said_of(world, third["id"])


@pytest.mark.parametrize(
    ("submitted", "asked", "expected"),
    [("accepted", None, True), ("accepted", False, False), ("announced", None, False), ("announced", True, True)],
)
def test_only_a_whole_set_submits_itself(submitted: str, asked: bool | None, expected: bool) -> None:
    from tests.ingest.test_view import AT, IDS, event

    from lifemask.ingest.domain.facts import Facts
    from lifemask.ingest.domain.restarting import submits_itself
    from lifemask.ingest.domain.runs import Run

    events: Sequence[RunEvent] = (
        [event(RunFailed)] if submitted == "announced" else [event(RunAccepted), event(RunFailed)]
    )
    facts = Facts()
    for each in events:
        facts = facts.after(each, AT)
    run = Run(IDS["user_id"], IDS["run_id"], "{}", AT, AT, facts, content="ab" * 32)
    assert submits_itself(run, asked=asked) is expected
