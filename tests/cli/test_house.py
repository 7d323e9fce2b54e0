"""The data directory: one `up` at a time, private keys, ports that last."""

import json
import socket
from pathlib import Path

import pytest

from lifemask.cli.house import announced, make_keys, occupied
from lifemask.cli.machine import without_password
from lifemask.cli.ports import choose_ports
from lifemask.cli.stops import Missing
from lifemask.cli.whereabouts import Whereabouts


def test_a_directory_has_one_up_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(Missing, match="in use by another `lifemask up`")
    with occupied(tmp_path / "data"), refused, occupied(tmp_path / "data"):
        pass
    with occupied(tmp_path / "data"):
        pass


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Missing, match="cannot be used"), occupied(tmp_path / "file" / "data"):
        pass


def test_keys_are_private_and_stay(tmp_path: Path) -> None:
    key = make_keys(tmp_path)
    assert make_keys(tmp_path) == key
    assert len((tmp_path / "keys" / "url.key").read_bytes()) == 32
    for name in ("keys/url.key", "app.key", "apps.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert key not in (tmp_path / "apps.json").read_text()


def test_clients_find_what_up_announces(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kafka.ready").write_text("127.0.0.1:4711")
    with announced(tmp_path, {"url": "http://u", "app_key": "k", "app": "demo", "kafka": None}):
        assert (tmp_path / "up.json").stat().st_mode & 0o777 == 0o600
        where = Whereabouts.find(tmp_path, {})
        assert (where.api(), where.brokers()) == (("http://u", "k"), "127.0.0.1:4711")
        assert where.on_the_bus("me") == "demo.me"
        assert Whereabouts.find(tmp_path, {"LIFEMASK_URL": "http://other"}).url == "http://other"
    assert Whereabouts.find(tmp_path, {}) == Whereabouts()


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    first = choose_ports(("a", "b"), tmp_path)
    assert choose_ports(("a", "b"), tmp_path) == first
    assert len(set(first.values())) == 2
    with socket.create_server(("127.0.0.1", first["a"])):
        second = choose_ports(("a", "b"), tmp_path)
        assert second["a"] != first["a"]
        assert second["b"] == first["b"]
        with pytest.raises(OSError, match="already in use"):
            choose_ports(("a",), tmp_path, {"a": first["a"]})
    (tmp_path / "ports.json").write_text(json.dumps({"a": "no port", "b": 99999}))
    assert set(choose_ports(("a", "b"), tmp_path)) == {"a", "b"}


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://ann:s3cret@db:5432/life", "postgresql://ann@db:5432/life"),
        ("postgresql://ann@db/life?sslmode=require&password=s3cret", "postgresql://ann@db/life?sslmode=require"),
        ("postgresql://postgres@/postgres?host=/run/pg", "postgresql://postgres@/postgres?host=/run/pg"),
        ("postgresql:///life?password=s3cret", "postgresql:///life"),
        ("", ""),
    ],
)
def test_a_database_is_shown_without_its_password(dsn: str, shown: str) -> None:
    assert without_password(dsn) == shown
