"""Uploads over HTTP: streamed into the store, judged one by one, nothing left of what was refused."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from tests.ingest.world import AUTH, KEY, World, a_world, about, parts, photo, served, until

from lifemask.contracts import PhotoJudged, PhotoReceived, PhotoRemoved, RunAccepted

RUNS = "/v1/users/u1/runs"


async def test_a_photo_is_stored_and_announced(world: World) -> None:
    run = await world.draft()
    (result,) = await world.upload(run, ("Ferien am See.jpg", photo(1)))
    assert result["status"] == "received"
    assert (world.folder / f"users/acme.u1/runs/{run}/original/{result['photo_id']}").read_bytes() == photo(1)
    (event,) = await world.facts()
    assert isinstance(event, PhotoReceived)
    assert (event.photo_id, event.bytes) == (result["photo_id"], 20_000)
    assert hashlib.sha256(photo(1)).hexdigest() not in event.body().decode()
    (shown,) = (await world.http.get(f"{RUNS}/{run}/photos")).json()["photos"]
    assert (shown["name"], shown["status"], shown["media_type"]) == ("Ferien am See.jpg", "pending", "image/jpeg")


async def test_where_the_chain_was_spoiled_no_photo_is_taken(world: World) -> None:
    run = await world.draft()
    spoiled = world.folder / f"users/acme.u1/runs/{run}/custody/owner.json"
    spoiled.parent.mkdir(parents=True)
    spoiled.write_text("{}")
    files = {"file": ("a.jpg", photo(1), "image/jpeg")}
    answer = await world.http.post(f"{RUNS}/{run}/photos", files=files, headers=AUTH)
    assert (answer.status_code, answer.json()["code"], answer.json()["run_id"]) == (409, "custody_broken", run)
    assert await world.facts() == []
    assert not list((world.folder / f"users/acme.u1/runs/{run}").glob("original/*"))


async def test_file_names_are_in_names_json_alone(world: World) -> None:
    run = await world.draft()
    await world.upload(run, ("Canary-Name.jpg", photo(1)))
    tables = [
        str(await world.rows(f"select * from {name}")) for name in ("run", "photo", "change", "idempotency", "disposal")
    ]
    assert "Canary" not in "".join([*tables, *(fact.body().decode() for fact in await world.facts())])
    names = json.loads((world.folder / f"users/acme.u1/runs/{run}/names.json").read_text())
    assert list(names.values()) == ["Canary-Name.jpg"]


async def test_each_file_has_its_own_result(world: World) -> None:
    run = await world.draft()
    results = await world.upload(
        run,
        ("good.jpg", photo(1)),
        ("again.jpg", photo(1)),
        ("tiny.jpg", b"\xff\xd8\xff"),
        ("empty.jpg", b""),
        ("huge.jpg", photo(2, 50_000_000)),
        ("../../text.jpg", b"hello " * 3000),
    )
    assert [(r["name"], r["status"], r["code"]) for r in results] == [
        ("good.jpg", "received", None),
        ("again.jpg", "duplicate", "same_file"),
        ("tiny.jpg", "refused", "file_too_small"),
        ("empty.jpg", "refused", "file_too_small"),
        ("huge.jpg", "refused", "file_too_large"),
        ("text.jpg", "received", None),  # what it is, the verdict says
    ]
    assert results[1]["photo_id"] == results[0]["photo_id"]
    assert all(result["sentence"] and result["next_step"] for result in results[1:5])
    originals = [key for key in world.objects if "/original/" in key]
    assert [key.rpartition("/")[2] for key in originals] == sorted([results[0]["photo_id"], results[5]["photo_id"]])
    assert (await world.kinds()) == ["PhotoReceived"] * 2


async def test_a_run_holds_so_many_photos(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, photos_min=1, photos_max=2) as world:
        run = await world.draft()
        results = await world.upload(run, *((f"{n}.jpg", photo(n)) for n in range(4)))
        assert [r["code"] for r in results] == [None, None, "too_many_photos", "too_many_photos"]
        assert len([key for key in world.objects if "/original/" in key]) == 2


async def test_many_uploads_at_once_keep_every_name_and_photo(world: World) -> None:
    run = await world.draft()
    await asyncio.gather(*(world.upload(run, (f"{n}.jpg", photo(n)), ("same.jpg", photo(99))) for n in range(8)))
    shown = (await world.http.get(f"{RUNS}/{run}/photos")).json()["photos"]
    assert sorted(each["name"] for each in shown) == sorted([*(f"{n}.jpg" for n in range(8)), "same.jpg"])
    assert len([key for key in world.objects if "/original/" in key]) == 9


async def test_a_photo_can_be_taken_out_of_a_draft(world: World) -> None:
    run, photos = await world.filled(2)
    path = f"{RUNS}/{run}/photos/{photos[0]}"
    assert (await world.http.delete(path)).status_code == 204
    assert (await world.http.delete(path)).status_code == 404
    assert (await world.facts())[-1] == PhotoRemoved(user_id="acme.u1", run_id=run, photo_id=photos[0])
    assert not any(photos[0] in key for key in world.objects)
    assert list(json.loads((world.folder / f"users/acme.u1/runs/{run}/names.json").read_text())) == [photos[1]]
    assert (await world.view(run))["photos"]["received"] == 1
    (result,) = await world.upload(run, ("0.jpg", photo(0)))
    assert result["status"] == "received"
    assert result["photo_id"] != photos[0]


async def test_with_the_last_photo_the_names_are_gone(world: World) -> None:
    run, (photo_id,) = await world.filled(1)
    assert (await world.http.delete(f"{RUNS}/{run}/photos/{photo_id}")).status_code == 204
    assert [key for key in world.objects if not key.endswith("/custody/owner.json")] == []


async def test_a_submitted_set_stays_as_it_is(world: World) -> None:
    run, photos = await world.filled(12)
    await world.http.post(f"{RUNS}/{run}/submit")
    answer = await world.http.delete(f"{RUNS}/{run}/photos/{photos[0]}")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_a_draft")
    answer = await world.http.post(f"{RUNS}/{run}/photos", files=parts(("x.jpg", photo(77))))
    assert (answer.status_code, answer.json()["code"]) == (409, "not_a_draft")
    assert len([key for key in world.objects if "/original/" in key]) == 12


HEAD = b'--b\r\nContent-Disposition: form-data; name="p"; filename="%s"\r\n\r\n'
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


async def test_a_set_that_is_closed_meanwhile_refuses_the_file_on_its_way(world: World) -> None:
    run, _ = await world.filled(12)

    async def thirteenth() -> bool:
        return len(await world.facts()) == 13

    async def body() -> AsyncIterator[bytes]:
        yield HEAD % b"early.jpg" + photo(76) + b"\r\n" + HEAD % b"late.jpg" + photo(77)
        await until(thirteenth)
        await world.http.post(f"{RUNS}/{run}/submit")
        yield b"\r\n--b--\r\n"

    async with served(world.service.app) as url, httpx.AsyncClient(base_url=url, headers=AUTH) as http:
        answer = await http.post(f"{RUNS}/{run}/photos", content=body(), headers=MULTIPART)
    results = [(result["status"], result["code"]) for result in answer.json()["results"]]
    assert results == [("received", None), ("refused", "not_a_draft")]
    assert len([key for key in world.objects if "/original/" in key]) == 13
    accepted = (await world.facts())[-1]
    assert isinstance(accepted, RunAccepted)
    assert accepted.photos == 13


async def test_an_aborted_connection_leaves_nothing_of_the_file_on_its_way(world: World) -> None:
    run = await world.draft()

    async def body() -> AsyncIterator[bytes]:
        yield HEAD % b"whole.jpg" + photo(1) + b"\r\n" + HEAD % b"half.jpg" + photo(2)
        await asyncio.Event().wait()

    async def first_is_there() -> bool:
        return await world.kinds() == ["PhotoReceived"]

    async with served(world.service.app) as url, httpx.AsyncClient(base_url=url, headers=AUTH) as http:
        upload = asyncio.create_task(http.post(f"{RUNS}/{run}/photos", content=body(), headers=MULTIPART))
        await until(first_is_there)
        upload.cancel()
        await until(lambda: any("names.json" in key for key in world.objects))
    assert len([key for key in world.objects if "/original/" in key]) == 1
    shown = (await world.http.get(f"{RUNS}/{run}/photos")).json()["photos"]
    assert [each["name"] for each in shown] == ["whole.jpg"]


@pytest.mark.parametrize(
    ("content_type", "content", "status", "code"),
    [
        ("text/plain", b"{}", 415, "unsupported_media_type"),
        ("multipart/form-data", b"--b--", 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=b", b"no multipart at all", 400, "bad_multipart"),
        ("multipart/form-data; boundary=b", b"", 400, "bad_multipart"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 400, "bad_multipart"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="p"; filename="a.jpg"\r\n\r\n' + photo(1),
            400,
            "bad_multipart",
        ),
        ("multipart/form-data; boundary=" + "b" * 300, b"--b", 400, "bad_multipart"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\n" + b"".join(b"X-H%d: 1\r\n" % n for n in range(50)) + b"\r\n",
            400,
            "bad_multipart",
        ),
    ],
)
async def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    world: World, content_type: str, content: bytes, status: int, code: str
) -> None:
    run = await world.draft()
    answer = await world.http.post(f"{RUNS}/{run}/photos", content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not any("original" in key for key in world.objects)
    assert await world.kinds() == []


async def test_a_body_above_the_limit_is_cut_off(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, upload_bytes_max=100_000) as world:
        run = await world.draft()
        answer = await world.http.post(f"{RUNS}/{run}/photos", files=parts(("a.jpg", photo(1, 200_000))))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

        async def undeclared() -> AsyncIterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="p"; filename="a.jpg"\r\n\r\n'
            for _ in range(20):
                yield photo(1)

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await world.http.post(f"{RUNS}/{run}/photos", content=undeclared(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert not any("original" in key for key in world.objects)


async def test_a_sender_that_falls_silent_is_let_go(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, upload_idle=0.05) as world:
        run = await world.draft()

        async with served(world.service.app) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
            head = f"POST {RUNS}/{run}/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            head += "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 99999\r\n\r\n"
            writer.write(head.encode() + HEAD % b"a.jpg" + photo(1))
            answer = await reader.read()
            writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
        assert not any("original" in key for key in world.objects)


async def test_a_copy_that_was_damaged_here_is_not_blamed_on_the_persons_file(world: World) -> None:
    run, [photo] = await world.filled(1)
    await world.receive(
        about(run, PhotoJudged, photo_id=photo, usable=False, verdicts=("unreadable",), copy_damaged=True)
    )
    [shown] = (await world.http.get(f"{RUNS}/{run}/photos")).json()["photos"]
    [verdict] = shown["verdicts"]
    assert verdict == {
        "code": "copy_damaged",
        "sentence": "Our copy of this photo was damaged, on our side. Remove the photo and upload it again.",
    }


async def test_verdicts_are_shown_with_their_sentences(world: World) -> None:
    run, photos = await world.filled(2)
    await world.receive(
        about(run, PhotoJudged, photo_id=photos[0], usable=True, verdicts=()),
        about(run, PhotoJudged, photo_id=photos[1], usable=False, verdicts=("duplicate",), similar_to=photos[0]),
    )
    shown = (await world.http.get(f"{RUNS}/{run}/photos")).json()["photos"]
    assert [each["status"] for each in shown] == ["usable", "rejected"]
    assert shown[1]["similar_to"] == photos[0]
    assert shown[1]["verdicts"][0]["code"] == "duplicate"
    assert (await world.view(run))["photos"] == {
        "received": 2,
        "pending": 0,
        "usable": 1,
        "rejected": 1,
        "needed": 11,
    }
