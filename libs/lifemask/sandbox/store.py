"""The sandbox's memory on disk: JSON files written atomically, JSON lines, one process at a time."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self


class DataDirectoryTakenError(Exception):
    """Another sandbox works on the same data directory."""


class Store:
    """`data` and everything below it. Names given to it are single path parts, checked by their makers."""

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self._lock = (data / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise DataDirectoryTakenError(f"another sandbox uses {data}; stop it or choose another --data") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def folder(self, name: str) -> Path:
        path = self.data / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def save(self, name: str, value: Any) -> None:
        """Replaces the JSON file `name` as a whole: after a crash it holds the old or the new value."""
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(json.dumps(value))
        fresh.replace(path)

    def load(self, name: str, default: Any = None) -> Any:
        try:
            return json.loads((self.data / name).read_text())
        except FileNotFoundError:
            return default

    def load_all(self, folder: str) -> Iterator[Any]:
        for path in sorted(self.folder(folder).glob("*.json")):
            yield json.loads(path.read_text())

    def remove(self, name: str) -> None:
        (self.data / name).unlink(missing_ok=True)

    def append(self, name: str, value: Any) -> None:
        """Adds one JSON line in one write; a line torn by a crash is ended here so that it spoils no other."""
        path = self.data / name
        line = (json.dumps(value) + "\n").encode()
        with path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)

    def lines(self, name: str) -> Iterator[Any]:
        path = self.data / name
        if not path.exists():
            return
        for line in path.read_bytes().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # torn by a crash: what it told did not happen
