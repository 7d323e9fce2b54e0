"""`lifemask prepare`: keys, apps file and bucket, made once."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.objects.wire import Answer, Asked, WireS3, error, wired
from typer.testing import CliRunner

from lifemask.cli.main import app
from lifemask.cli.prepare import refuse_halves
from lifemask.cli.stops import Missing
from lifemask.keys.files import open_keys

Prepare = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Calls the command with a place for everything; answers with the exit code and the JSON lines."""
    for name in ("REPLICATE_API_TOKEN", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIFEMASK_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("LIFEMASK_APPS", str(tmp_path / "apps" / "apps.json"))
    monkeypatch.setenv("LIFEMASK_OBJECTS", (tmp_path / "objects").as_uri())

    def call(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        result = CliRunner().invoke(app, ["prepare", "--json", *arguments])
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]

    return call


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireS3]:
    """An S3 that the AWS_* variables lead to."""
    async with wired(monkeypatch) as s3:
        monkeypatch.setenv("LIFEMASK_OBJECTS", "s3://fresh")
        yield s3


def test_the_apps_key_is_shown_once_and_only_its_digest_is_kept(prepare: Prepare, tmp_path: Path) -> None:
    code, lines = prepare("--app", "acme")
    assert code == 0
    assert [line["event"] for line in lines] == ["keys_made", "app_made", "prepared"]
    digest = hashlib.sha256(lines[1]["key"].encode()).hexdigest()
    file = tmp_path / "apps" / "apps.json"
    assert json.loads(file.read_text()) == {"acme": {"key_sha256": digest}}
    assert file.stat().st_mode & 0o777 == 0o600
    secret = tmp_path / "keys" / "url.key"
    before = secret.read_bytes(), file.read_bytes()
    assert prepare("--app", "other") == (0, [{"event": "prepared"}])
    assert (secret.read_bytes(), file.read_bytes()) == before


def test_each_service_is_given_its_own_key_and_no_others(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, stick = tmp_path / "each", tmp_path / "stick" / "root.pem"
    for name in ("ingest", "packager"):
        (each / name).mkdir(parents=True)
    monkeypatch.setenv("LIFEMASK_KEYS_EACH", str(each))
    monkeypatch.setenv("LIFEMASK_ROOT_KEY", str(stick))
    assert prepare()[0] == 0
    held = {name: {path.name for path in (each / name).iterdir()} for name in ("ingest", "packager")}
    public = {"keyring.json", "root.fingerprint"}
    assert held == {"ingest": {*public, "ingest.pem", "url.key"}, "packager": {*public, "packager.pem"}}
    assert (each / "ingest" / "ingest.pem").stat().st_mode & 0o777 == 0o600
    old = open_keys(each / "packager", "packager")
    assert CliRunner().invoke(app, ["keys", "rotate", "packager"]).exit_code == 0
    assert not old.changed()
    assert prepare()[0] == 0
    assert old.changed()
    assert open_keys(each / "ingest", "ingest").trust.keyring.version == 2
    assert not (each / "trainer").exists()


@pytest.mark.parametrize("name", ["LIFEMASK_KEYS", "LIFEMASK_APPS", "LIFEMASK_OBJECTS"])
def test_a_place_that_is_not_named_is_asked_for(prepare: Prepare, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    code, lines = prepare()
    assert code == 3
    assert lines[-1]["what"] == f"{name} is not set."


async def test_a_bucket_is_made_where_there_is_none(prepare: Prepare, wire: WireS3) -> None:
    made: list[str] = []

    def store(asked: Asked) -> Answer:
        if asked.method == "PUT":
            made.append(asked.path)
        return Answer() if made else error(404, "NoSuchBucket")

    wire.before = store
    code, lines = await asyncio.to_thread(prepare)
    assert code == 0
    assert {"event": "bucket_made", "bucket": "fresh"} in lines
    assert await asyncio.to_thread(prepare) == (0, [{"event": "prepared"}])
    assert [path.strip("/") for path in made] == ["fresh"]


async def test_a_store_that_denies_is_named(prepare: Prepare, wire: WireS3) -> None:
    wire.before = lambda _: error(403, "AccessDenied")
    code, lines = await asyncio.to_thread(prepare)
    assert code == 3
    assert "The bucket fresh cannot be made" in lines[-1]["what"]
    assert {asked.method for asked in wire.asked} == {"HEAD"}


@pytest.mark.real
def test_a_bucket_is_made_on_a_real_server(
    prepare: Prepare, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIFEMASK_OBJECTS", "s3://made-by-prepare")
    assert {"event": "bucket_made", "bucket": "made-by-prepare"} in prepare()[1]
    assert prepare() == (0, [{"event": "prepared"}])


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        (
            {"REPLICATE_API_TOKEN": "r8_x", "REPLICATE_BASE_URL": "http://sandbox:8081"},
            "REPLICATE_BASE_URL is a stand-in",
        ),
        ({"HF_TOKEN": "hf_x", "HF_ENDPOINT": "http://sandbox:8082"}, "HF_ENDPOINT is a stand-in"),
        ({"REPLICATE_API_TOKEN": "r8_x"}, "cannot reach this machine"),
        ({"REPLICATE_API_TOKEN": "r8_x", "LIFEMASK_PUBLIC_URL": "http://lifemask.localhost:8080"}, "cannot reach"),
    ],
)
def test_a_real_token_never_meets_a_stand_in(environment: dict[str, str], what: str) -> None:
    with pytest.raises(Missing, match=what) as caught:
        refuse_halves(environment)
    assert "_x" not in caught.value.what + caught.value.next_step


def test_the_sandbox_alone_and_the_real_ones_whole_are_fine() -> None:
    refuse_halves({})
    refuse_halves({"REPLICATE_API_TOKEN": "r8_sandbox_lifemask", "REPLICATE_BASE_URL": "http://sandbox:8081"})
    refuse_halves(
        {"REPLICATE_API_TOKEN": "r8_x", "LIFEMASK_PUBLIC_URL": "https://lifemask.example.com", "HF_TOKEN": "hf_x"}
    )
