"""`train` against the API on the wire: verdicts, too few, the whole way, trouble on the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.api import Api
from tests.cli.conftest import Call

Folder = Callable[..., Path]
GOOD = [f"good-{number:02}.jpg" for number in range(13)]


def test_a_folder_becomes_a_model(lifemask: Call, api: Api, folder: Folder) -> None:
    photos = folder(*GOOD, "blurry-1.jpg")
    arguments = ("train", str(photos), "--user", "me", "--trigger-word", "ANNA", "--email", "me@example.com")
    code, lines = lifemask(*arguments, "--steps", "500", api=api)
    assert code == 0
    run = next(iter(api.runs.values()))
    assert run.wish == {"steps": 500, "name": "photos", "trigger_word": "ANNA"}
    assert api.contacts == {"me": "me@example.com"}
    judged = {line["name"]: line for line in lines if line["event"] == "judged"}
    assert len(judged) == 14
    assert judged["blurry-1.jpg"]["verdicts"] == ["blurry"]
    assert "daylight" in judged["blurry-1.jpg"]["sentence"]
    assert _statuses(lines)[-1] == "ready"
    assert lines[-1] | {"model_id": "", "model": None} == {
        "event": "finished",
        "status": "ready",
        "run_id": run.id,
        "model_id": "",
        "seconds": 5.0,
        "cost": {"estimated": "1.04", "billed": "1.02"},
        "summary": "It is ready.",
        "next_step": "Use your model.",
        "model": None,
    }


def test_too_few_photos_are_named_one_by_one(lifemask: Call, api: Api, folder: Folder) -> None:
    photos = folder(*GOOD[:6], "blurry-1.jpg", "too_dark-1.jpg")
    (photos / "tiny.jpg").write_bytes(b"x")
    code, lines = lifemask("train", str(photos), "--user", "me", api=api)
    assert code == 1
    problem = lines[-1]
    assert problem["what"] == "6 more photos needed: 6 of 8 can be used."
    assert problem["needed"] == 6
    assert {photo["name"] for photo in problem["unfit"]} == {"blurry-1.jpg", "too_dark-1.jpg", "tiny.jpg"}
    assert all(photo["why"] for photo in problem["unfit"])
    assert next(iter(api.runs)) in problem["next_step"]


def test_a_draft_is_completed_by_more_photos(lifemask: Call, api: Api, folder: Folder) -> None:
    photos = folder(*GOOD[:11])
    _, lines = lifemask("train", str(photos), "--user", "me", api=api)
    assert lines[-1]["what"].startswith("1 more photo needed")
    folder(*GOOD)
    code, lines = lifemask("train", str(photos), "--user", "me", "--run", lines[-1]["run_id"], api=api)
    assert (code, lines[-1]["status"]) == (0, "ready")
    assert [line["status"] for line in lines if line["event"] == "uploaded"].count("duplicate") == 11
    assert len(api.runs) == 1
    code, lines = lifemask("train", str(photos), "--user", "me", "--run", next(iter(api.runs)), api=api)
    assert (code, "takes no more photos" in lines[-1]["what"]) == (1, True)


def test_a_run_that_fails_is_a_failure(lifemask: Call, api: Api, folder: Folder) -> None:
    api.after_submit = ("accepted", "training", "failed")
    code, lines = lifemask("train", str(folder(*GOOD)), "--user", "me", api=api)
    assert (code, lines[-1]["status"], lines[-1]["model_id"]) == (1, "failed", None)


def test_a_busy_api_and_a_lost_stream_are_no_trouble(lifemask: Call, api: Api, folder: Folder) -> None:
    api.busy, api.stream_cuts = 2, 2
    code, lines = lifemask("train", str(folder(*GOOD)), "--user", "me", api=api)
    assert (code, lines[-1]["status"]) == (0, "ready")
    resumed = api.resumed_behind  # the second time only if the second event did not tell the end already
    assert resumed in (["1"], ["1", "2"])


def test_what_is_wrong_is_said_with_its_code(lifemask: Call, api: Api, folder: Folder, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no photo")
    assert lifemask("train", str(empty), "--user", "me", api=api)[0] == 2
    assert lifemask("train", str(tmp_path / "nowhere"), "--user", "me", api=api)[0] == 2
    assert lifemask("train", str(folder(*GOOD)), "--user", "app.me", api=api)[0] == 2
    assert lifemask("train", str(folder(*GOOD)), api=api)[0] == 2
    code, lines = lifemask("train", str(folder(*GOOD)), "--user", "me", "--run", "no-such-run", api=api)
    assert (code, lines[-1]["what"]) == (1, "There is nothing at this address that your key may see.")


def _statuses(lines: list[dict[str, Any]]) -> list[str]:
    return [line["status"] for line in lines if line["event"] == "progress"]
