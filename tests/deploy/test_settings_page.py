"""The page of settings names each with a meaning, and operators' commands keep to those of the store."""

from pathlib import Path

import pytest
from tools.settings_page import SETTINGS, page

from lifemask.cli.installation import Installation
from lifemask.cli.stops import WrongUsage
from lifemask.runtime.settings import StoreSettings


def test_every_setting_says_what_it_means() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 120
    assert [name for name, _, _, meaning in rows if not meaning.rstrip(" |")] == []


def test_every_service_reads_the_stores_settings_once() -> None:
    assert page().count("`LIFEMASK_STORE_TRIES`") == 1
    assert all(issubclass(each, StoreSettings) for each in SETTINGS.values())


def test_an_operator_asks_the_store_as_services_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "objects").mkdir()
    monkeypatch.setenv("LIFEMASK_STORE_TRIES", "none")
    with pytest.raises(WrongUsage, match="LIFEMASK_STORE_TRIES"):
        Installation.find(tmp_path, {}).open_store()
