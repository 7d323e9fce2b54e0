"""A command line in an empty directory, and an API for it to call."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.api import KEY, Api, served
from typer.testing import CliRunner

from lifemask.cli.main import app

Call = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def api() -> Iterator[Api]:
    with served(Api()) as running:
        yield running


@pytest.fixture
def lifemask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Calls a command in an empty directory; answers with the exit code and the JSON lines."""
    for name in ("LIFEMASK_URL", "LIFEMASK_APP_KEY", "LIFEMASK_KAFKA", "LIFEMASK_USER", "LIFEMASK_APP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, api: Api | None = None) -> tuple[int, list[dict[str, Any]]]:
        if api:
            monkeypatch.setenv("LIFEMASK_URL", api.url)
            monkeypatch.setenv("LIFEMASK_APP_KEY", KEY)
        result = CliRunner().invoke(app, arguments)
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        assert "Traceback" not in result.output
        return result.exit_code, lines

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of files with the given names; every file has other bytes, which no one decodes here."""

    def make(*names: str) -> Path:
        place = tmp_path / "photos"
        place.mkdir(exist_ok=True)
        for name in names:
            (place / name).write_bytes(f"{name} pretends to be a photo".encode())
        return place

    return make
