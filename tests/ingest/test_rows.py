"""What PostgreSQL and the store hold: one user's rows are nobody else's, and temporary objects go."""

import asyncpg
import pytest
from tests.ingest.world import World, about, photo

from lifemask.contracts import ModelReady, PhotoJudged, RunFailed, RunRejected
from lifemask.ingest.adapters.writing import RowWriter

TABLES = ("run", "photo", "change", "model", "idempotency", "disposal")


@pytest.mark.parametrize("user", ["globex.u1", "acme.u2", ""])
async def test_rows_of_another_user_do_not_exist(world: World, user: str) -> None:
    await world.http.post("/v1/users/u1/runs", json={"name": "Me"}, headers={"Idempotency-Key": "k"})
    run = await world.accepted()
    await world.receive(about(run, ModelReady))
    await world.time_passes()
    mine = {table: len(await world.rows(f"select 1 from {table}")) for table in TABLES}
    assert all(mine.values()), mine
    assert {table: len(await world.rows(f"select 1 from {table}", user)) for table in TABLES} == dict.fromkeys(
        TABLES, 0
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with world.service.bus.rows.reading("acme.u1", locks=True) as connection:
            await connection.execute("update run set user_id = 'acme.u9'")


async def test_work_goes_at_once_and_originals_after_a_day(world: World) -> None:
    run = await world.accepted()
    base = world.folder / f"users/acme.u1/runs/{run}"
    for place in ("clean/a.jpg", "archive/1.zip", "weights/1.safetensors", "verdicts/a.json"):
        (base / place).parent.mkdir(exist_ok=True)
        (base / place).write_bytes(b"x" * 10)
    await world.receive(about(run, RunFailed))
    places = {key.split("/")[4] for key in world.objects}
    assert places == {"original", "names.json", "verdicts", "custody", "request.json"}
    late = base / "clean"
    late.mkdir(exist_ok=True)
    (late / "late.jpg").write_bytes(b"x")
    await world.time_passes()
    assert {key.split("/")[4] for key in world.objects} == {"verdicts", "custody", "request.json"}
    rows = await world.rows("select what, objects, bytes, result from disposal order by number")
    gone = [tuple(row.values()) for row in rows]
    assert gone[:3] == [("clean", 1, 10, "deleted"), ("archive", 1, 10, "deleted"), ("weights", 1, 10, "deleted")]
    names = next(row["bytes"] for row in rows if row["what"] == "names")
    assert sorted(gone[3:]) == [
        ("clean", 1, 1, "deleted"),
        ("names", 1, names, "deleted"),
        ("original", 12, 240_000, "deleted"),
    ]


async def test_the_decision_on_the_set_outlives_single_verdicts(world: World) -> None:
    run = await world.accepted()
    shown = (await world.http.get(f"/v1/users/u1/runs/{run}/photos")).json()["photos"]
    ids = [each["id"] for each in shown]
    verdict = {"photo_id": ids[0], "usable": False, "verdicts": ["blurry"]}
    await world.receive(
        about(run, RunRejected, received=12, usable=11, needed=1, photos=[verdict]),
        about(run, PhotoJudged, photo_id=ids[0], usable=True, verdicts=()),
    )
    (first, *_) = (await world.http.get(f"/v1/users/u1/runs/{run}/photos")).json()["photos"]
    assert (first["status"], first["verdicts"][0]["code"]) == ("rejected", "blurry")
    view = await world.view(run)
    assert (view["status"], view["photos"]["needed"]) == ("rejected", 1)


async def test_facts_about_an_unknown_run_are_no_harm(world: World) -> None:
    run = await world.draft("u2")
    await world.receive(about(run, ModelReady, user="acme.u1"))
    assert (await world.view(run, "u2"))["status"] == "draft"
    assert await world.rows("select 1 from model") == []


async def test_a_row_of_another_kind_is_a_fault(world: World) -> None:
    async with world.service.bus.rows.reading("acme.u1") as connection:
        with pytest.raises(TypeError, match="no table for str"):
            await RowWriter(12)(connection, "what is this")


async def test_a_used_file_stays_used_when_two_come_at_once(world: World) -> None:
    run = await world.draft()
    first, second = await world.upload(run, ("a.jpg", photo(1)), ("b.jpg", photo(1)))
    assert first["photo_id"] == second["photo_id"]
    assert len(await world.rows("select 1 from photo")) == 1
