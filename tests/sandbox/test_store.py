"""The sandbox's memory on disk."""

from pathlib import Path

import pytest

from lifemask.sandbox.store import DataDirectoryTakenError, Store


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.append("log.jsonl", {"n": 1})
        with (tmp_path / "log.jsonl").open("a") as file:
            file.write('{"n": 2')
        store.append("log.jsonl", {"n": 3})
        assert list(store.lines("log.jsonl")) == [{"n": 1}, {"n": 3}]


def test_values_are_replaced_as_a_whole(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert store.load("folder/a.json", "nothing") == "nothing"
        store.save("folder/a.json", {"n": 1})
        store.save("folder/a.json", {"n": 2})
        (tmp_path / "folder" / "a.json.new").write_text('{"n"')  # what a crash leaves
        assert list(store.load_all("folder")) == [{"n": 2}]


def test_one_store_per_directory(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(DataDirectoryTakenError, match="another sandbox uses"):
        Store(tmp_path)
    with Store(tmp_path):
        pass
