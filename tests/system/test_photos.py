"""Photos that cannot be used: who is told what, and what goes on without them."""

import asyncio
import os
import signal
from urllib.parse import urlsplit

import pytest
from tests.system import photos
from tests.system.app import Person
from tests.system.outside import Outside
from tests.system.photos import File, good
from tests.system.reading import Sound
from tests.system.stack import Stack
from tests.system.waiting import eventually

UNFIT = {
    "blurred.jpg": ["blurry"],
    "dark.jpg": ["too_dark"],
    "small.jpg": ["too_few_pixels"],
    "truncated.jpg": ["unreadable"],
    "twin.jpg": ["duplicate"],
    "notes.jpg": ["not_a_photo"],
}


def unfit() -> list[File]:
    return [
        photos.blurred(),
        photos.dark(),
        photos.small(),
        photos.truncated(),
        photos.twin_of(good(1)[0]),
        photos.text_called_jpg(),
    ]


async def test_each_unfit_photo_is_told_why_and_the_run_goes_on_with_the_rest(
    person: Person, outside: Outside, sound: Sound
) -> None:
    await person.introduce()
    run = await person.draft()
    await person.send(run, [*good(12), *unfit()])
    judged = await person.judged(run)
    codes = {name: [verdict["code"] for verdict in photo["verdicts"]] for name, photo in judged.items()}
    assert {name: found for name, found in codes.items() if found} == UNFIT
    assert all(verdict["sentence"] for photo in judged.values() for verdict in photo["verdicts"])
    assert judged["twin.jpg"]["similar_to"] == judged["IMG_0000.jpg"]["id"]

    assert (await person.submit(run)).status_code == 202
    view = await person.ended(run)
    assert view["status"] == "ready"
    assert view["photos"] == {"received": 18, "pending": 0, "usable": 12, "rejected": 6, "needed": 0}
    assert (await outside.training(view["training"]["id"]))["images"] == 12
    await sound()


async def test_too_few_are_refused_with_every_verdict_and_the_draft_stays_open(person: Person, sound: Sound) -> None:
    await person.introduce()
    run = await person.draft()
    await person.send(run, [*good(8), *unfit()])
    await person.judged(run)
    answer = await person.submit(run)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["needed"]) == (422, "too_few_usable", 4)
    assert problem["run_id"] == run
    assert "4 more photos needed" in problem["detail"]
    assert problem["next_step"]
    found = {photo["name"]: [each["code"] for each in photo["verdicts"]] for photo in problem["photos"]}
    assert found == {photo.name: [] for photo in good(8)} | UNFIT

    assert (await person.view(run))["status"] == "draft"
    await person.send(run, good(12)[8:])
    await person.judged(run)
    assert (await person.submit(run)).status_code == 202
    assert (await person.ended(run))["status"] == "ready"
    await sound()


async def test_too_few_that_show_only_after_the_submission_end_the_run(
    person: Person, stack: Stack, outside: Outside, sound: Sound
) -> None:
    await person.introduce()
    run = await person.draft()
    validator = stack.pid_of("image_validator")
    os.kill(validator, signal.SIGSTOP)
    try:
        await person.send(run, [*good(10), photos.blurred(), photos.truncated()])
        assert (await person.submit(run)).status_code == 202
    finally:
        os.kill(validator, signal.SIGCONT)
    view = await person.ended(run)
    assert (view["status"], view["whose_move"], view["photos"]["needed"]) == ("rejected", "you", 2)
    history = await sound()
    (end,) = [fact for fact in history.facts if fact.run == run and fact.kind == "run.rejected"]
    assert (end.body["received"], end.body["usable"], end.body["needed"]) == (12, 10, 2)
    assert not [attempt for attempt in history.attempts if attempt.run == run]
    (mail,) = await outside.mails(person.email)
    assert "2 more" in mail["text"]


async def test_what_is_no_photo_gets_a_clear_answer_and_leaves_nothing(
    person: Person, stack: Stack, sound: Sound
) -> None:
    run = await person.draft()
    huge = File("huge.jpg", b"\xff\xd8\xff\xe0" + bytes(50_000_000))
    refused, *taken = await person.send(run, [huge, photos.text_called_jpg(), photos.bomb()])
    assert (refused["status"], refused["code"]) == ("refused", "file_too_large")
    assert "10 MB" in refused["next_step"]

    judged = await person.judged(run)
    assert {name: photo["verdicts"][0]["code"] for name, photo in judged.items()} == {
        "notes.jpg": "not_a_photo",
        "bomb.png": "too_many_pixels",
    }
    for result in taken:
        await person.http.delete(person.path("runs", run, "photos", result["photo_id"]))
    assert await person.photos(run) == []
    history = await sound()
    left = [key for key in history.objects if run in key and not key.endswith("/custody/owner.json")]
    assert left == []
    assert unfinished(stack) == []


async def test_the_same_file_twice_is_one_photo(person: Person, sound: Sound) -> None:
    run = await person.draft()
    (first,) = await person.send(run, good(1))
    again, other = await person.send(run, [good(1)[0].called("copy.jpg"), good(2)[1]])
    assert (again["status"], again["photo_id"]) == ("duplicate", first["photo_id"])
    assert other["photo_id"] != first["photo_id"]
    assert len(await person.photos(run)) == 2
    history = await sound()
    assert len([key for key in history.objects if run in key and "/original/" in key]) == 2


@pytest.mark.parametrize("times", [1, 3])
async def test_an_upload_that_breaks_off_leaves_only_what_came_whole(
    person: Person, stack: Stack, sound: Sound, times: int
) -> None:
    run = await person.draft()
    for _ in range(times):
        await break_off(person, run, good(1)[0], good(2)[1])

    async def settled() -> bool:
        return unfinished(stack) == [] and len(await person.photos(run)) == 1

    await eventually(settled)
    history = await sound()
    assert len([key for key in history.objects if run in key and "/original/" in key]) == 1


async def break_off(person: Person, run: str, whole: File, half: File) -> None:
    """Sends one file and half of another, then closes the connection."""
    mark = b"boundary7b2e"
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="photos"; filename="%b"\r\n\r\n' % (mark, file.name.encode())
        for file in (whole, half)
    ]
    url = urlsplit(str(person.http.base_url))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = (
        f"POST {person.path('runs', run, 'photos')} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Authorization: {person.http.headers['authorization']}\r\n"
        f"Content-Type: multipart/form-data; boundary={mark.decode()}\r\nContent-Length: 9000000\r\n\r\n"
    )
    writer.write(head.encode() + parts[0] + whole.data + b"\r\n" + parts[1] + half.data[: len(half.data) // 2])
    await writer.drain()

    async def arrived() -> bool:
        return len(await person.photos(run)) == 1

    await eventually(arrived)
    writer.close()
    await writer.wait_closed()
    del reader


def unfinished(stack: Stack) -> list[str]:
    """Files of the store that are no objects: what a write leaves when nobody cleans up."""
    root = stack.data / "objects"
    return [
        str(path)
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in {"users", "incoming", "quarantine"}
    ]
