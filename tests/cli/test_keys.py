"""`lifemask keys`: made once, rotated one at a time, and nothing is lost when it is interrupted."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lifemask.cli.house import app_signer, make_keys
from lifemask.cli.main import app
from lifemask.contracts.signing import NotAuthentic, Reason, Signer, Untrusted
from lifemask.keys.files import open_keys
from lifemask.keys.holders import HOLDERS
from lifemask.keys.making import load, make

Call = Callable[..., tuple[int, list[dict[str, Any]]]]
EVENT = ("lifemask.training.started.v1", "lifemask/trainer")


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls `lifemask keys`; answers with the exit code and the JSON lines."""
    monkeypatch.setenv("LIFEMASK_KEYS", str(tmp_path / "keys"))

    def call(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        result = CliRunner().invoke(app, ["keys", *arguments, "--json"])
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]

    return call


def why(folder: Path, keyid: str, at: datetime) -> Reason | None:
    try:
        load(folder).for_event(*EVENT, keyid, at)
    except NotAuthentic as refused:
        return refused.reason
    return None


def test_keys_are_made_once_and_every_service_can_open_its_own(keys: Call, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    code, lines = keys("init")
    assert (code, lines) == (0, [{"event": "keys", "made": True, "root": load(folder).root}])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert keys("init") == (0, [{"event": "keys", "made": False, "root": None}])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for name in HOLDERS:
        assert open_keys(folder, name, load(folder).root).signer.holder == name
        assert (folder / f"{name}.pem").stat().st_mode & 0o777 == 0o600
    assert (folder / "offline" / "root.pem").stat().st_mode & 0o777 == 0o600


def test_the_root_can_lie_elsewhere(keys: Call, tmp_path: Path) -> None:
    elsewhere = tmp_path / "stick" / "root.pem"
    assert keys("init", "--root", str(elsewhere))[0] == 0
    assert not (tmp_path / "keys" / "offline").exists()
    assert Signer.load(elsewhere, "root").keyid == load(tmp_path / "keys").root
    code, lines = keys("rotate", "trainer")
    assert code == 3
    assert lines[0]["next_step"] == "Name the root with --root."
    assert keys("rotate", "trainer", "--root", str(elsewhere))[0] == 0


def test_a_start_that_was_interrupted_goes_on_with_what_it_made(tmp_path: Path) -> None:
    folder, now = tmp_path / "keys", datetime.now(UTC)
    folder.mkdir()
    Signer.generate("trainer").save(folder / "trainer.pem")
    half = Signer.load(folder / "trainer.pem", "trainer")
    ring = make(folder, now)
    assert ring is not None
    assert ring.find(half.keyid) is not None


def test_a_keyring_without_a_services_key_says_what_to_do(keys: Call, tmp_path: Path) -> None:
    keys("init")
    (tmp_path / "keys" / "trainer.pem").unlink()
    code, lines = keys("init")
    assert code == 1
    assert (
        "no key of trainer. Put it back, or give that service a new one with `lifemask keys rotate`" in lines[0]["what"]
    )
    assert keys("rotate", "trainer")[0] == 0
    assert keys("init")[0] == 0


def test_a_rotated_key_is_believed_for_a_day_and_the_new_one_at_once(keys: Call, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys("init")
    old = open_keys(folder, "trainer")
    code, (line,) = keys("rotate", "trainer")
    assert (code, line["service"], line["version"]) == (0, "trainer", 2)
    assert old.changed()
    new, now = open_keys(folder, "trainer"), datetime.now(UTC)
    assert new.signer.keyid == line["key"] != old.signer.keyid
    assert why(folder, new.signer.keyid, now) is None
    assert why(folder, old.signer.keyid, now + timedelta(hours=23)) is None
    assert why(folder, old.signer.keyid, now + timedelta(hours=24)) is Reason.ROTATED_OUT
    assert old.trust.for_event(*EVENT, new.signer.keyid, now) == new.signer.public  # read again by itself
    keys("rotate", "trainer", "--overlap", "1")
    assert why(folder, old.signer.keyid, now + timedelta(hours=23)) is None
    assert why(folder, new.signer.keyid, now + timedelta(hours=2)) is Reason.ROTATED_OUT


def test_a_compromised_key_ends_when_it_got_into_other_hands(keys: Call, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys("init")
    old, since = open_keys(folder, "trainer"), datetime.now(UTC) - timedelta(seconds=30)
    assert keys("rotate", "trainer", "--since", since.strftime("%Y-%m-%dT%H:%M:%S"))[0] == 2
    at = since.replace(microsecond=0)
    assert keys("rotate", "trainer", "--compromised", "--since", at.strftime("%Y-%m-%dT%H:%M:%S"))[0] == 0
    assert why(folder, old.signer.keyid, at) is Reason.COMPROMISED
    assert why(folder, old.signer.keyid, at - timedelta(seconds=1)) is None
    keys("rotate", "trainer", "--compromised")
    assert why(folder, old.signer.keyid, at - timedelta(seconds=1)) is None


def test_a_key_that_ended_before_it_was_stolen_is_marked_as_well(keys: Call, tmp_path: Path) -> None:
    """Who finds it in an old backup could sign what nobody has seen, and date it back."""
    folder = tmp_path / "keys"
    keys("init")
    old = open_keys(folder, "ingest").signer.keyid
    keys("rotate", "ingest", "--overlap", "0")
    ended = load(folder).find(old)
    assert ended is not None
    lost = datetime.now(UTC) + timedelta(days=1)
    assert keys("rotate", "ingest", "--compromised", "--since", lost.strftime("%Y-%m-%dT%H:%M:%S"))[0] == 0
    marked = load(folder).find(old)
    assert marked is not None
    assert (marked.until, marked.compromised_at) == (ended.until, lost.replace(microsecond=0))


def test_only_the_root_of_the_keyring_rotates(keys: Call, tmp_path: Path) -> None:
    keys("init")
    Signer.generate("root").save(tmp_path / "other.pem")
    code, lines = keys("rotate", "trainer", "--root", str(tmp_path / "other.pem"))
    assert code == 1
    assert "signed by another root" in lines[0]["what"]
    assert load(tmp_path / "keys").version == 1
    assert "There is no service nobody" in keys("rotate", "nobody")[1][0]["what"]


def test_the_list_names_every_key(keys: Call, tmp_path: Path) -> None:
    assert keys("list")[0] == 3
    keys("init")
    keys("rotate", "trainer", "--compromised")
    code, lines = keys("list")
    assert code == 0
    assert sorted(line["holder"] for line in lines) == sorted([*HOLDERS, "trainer"])
    assert [line["holder"] for line in lines if line["compromised_at"]] == ["trainer"]
    shown = CliRunner().invoke(app, ["keys", "list"], terminal_width=200)
    assert shown.exit_code == 0


def test_an_app_gets_a_key_and_what_belongs_into_the_apps_file(keys: Call, tmp_path: Path) -> None:
    path = tmp_path / "acme.pem"
    code, (line,) = keys("app", str(path))
    assert code == 0
    assert base64.b64decode(line["public"]) == Signer.load(path, "acme").public
    assert keys("app", str(path))[0] == 1


def test_a_house_has_all_its_keys(tmp_path: Path) -> None:
    make_keys(tmp_path)
    apps = json.loads((tmp_path / "apps.json").read_text())
    assert apps["demo"]["signing_keys"] == [base64.b64encode(app_signer(tmp_path).public).decode()]
    assert open_keys(tmp_path / "keys", "publisher").signer.holder == "publisher"
    make_keys(tmp_path / "other", tmp_path / "elsewhere")
    assert open_keys(tmp_path / "elsewhere", "publisher").signer.holder == "publisher"
    assert not (tmp_path / "other" / "keys" / "keyring.json").exists()


def test_a_key_of_another_service_may_not_speak_for_this_one(tmp_path: Path) -> None:
    make(tmp_path, datetime.now(UTC))
    with pytest.raises(Untrusted, match="not allowed"):
        load(tmp_path).for_event(*EVENT, open_keys(tmp_path, "packager").signer.keyid, datetime.now(UTC))
