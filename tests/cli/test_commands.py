"""Exit codes and words of commands that only look."""

import json
from pathlib import Path

import pytest
from tests.cli.api import KEY, Api, FakeRun
from tests.cli.conftest import Call


def test_without_a_lifemask_the_next_step_is_named(lifemask: Call) -> None:
    for command in (["runs"], ["run", "x", "--user", "me"], ["events", "--user", "demo.me"], ["listen"]):
        code, lines = lifemask(*command)
        assert code == 3, command
        assert "`lifemask up`" in lines[-1]["next_step"]
    code, lines = lifemask("migrate")
    assert (code, "LIFEMASK_POSTGRES" in lines[-1]["next_step"]) == (3, True)


def test_a_dead_address_and_a_wrong_key_are_missing_settings(
    lifemask: Call, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFEMASK_APP_KEY", "wrong")
    monkeypatch.setenv("LIFEMASK_URL", api.url)
    code, lines = lifemask("runs", "--user", "me")
    assert (code, lines[-1]["what"]) == (3, "The request carries no valid key of an app.")
    monkeypatch.setenv("LIFEMASK_URL", "http://127.0.0.1:9")
    code, lines = lifemask("runs", "--user", "me")
    assert (code, lines[-1]["what"]) == (3, "Nothing answers at http://127.0.0.1:9.")


def test_what_up_left_tells_where_lifemask_is(lifemask: Call, api: Api, tmp_path: Path) -> None:
    (tmp_path / ".lifemask").mkdir()
    (tmp_path / ".lifemask" / "up.json").write_text(json.dumps({"url": api.url, "app_key": KEY, "app": "demo"}))
    assert lifemask("runs", "--user", "me") == (0, [])


def test_runs_are_listed_over_all_pages(lifemask: Call, api: Api) -> None:
    for number in range(5):
        api.runs[f"run-{number}"] = FakeRun(f"run-{number}", {"name": f"Portrait {number}"})
    code, lines = lifemask("runs", "--user", "me", api=api)
    assert code == 0
    assert [line["id"] for line in lines] == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
    assert {line["event"] for line in lines} == {"run"}


def test_one_run_comes_with_its_verdicts(lifemask: Call, api: Api) -> None:
    api.runs["run-1"] = FakeRun("run-1", {"name": "Portrait"}, status="ready")
    api.runs["run-1"].photos = [{"id": "p", "name": "a.jpg", "status": "usable", "verdicts": []}]
    code, lines = lifemask("run", "run-1", "--user", "me", api=api)
    assert (code, lines[-1]["status"], lines[-1]["photo_verdicts"][0]["name"]) == (0, "ready", "a.jpg")


def test_wrong_usage_is_two(lifemask: Call) -> None:
    assert lifemask("no-such-command")[0] == 2
    assert lifemask("train")[0] == 2
    assert lifemask("demo", "--door", "window")[0] == 2
    assert lifemask("events", "--user", "me@example.com")[0] == 2
