"""Objects as plain files below one directory: the synchronous half of `LocalObjects`.

A file becomes visible under its name only when it is whole: it is written into `.parts`, which no key can name, on
the same file system, and then linked (create-only) or renamed. Upper-case letters are written as `+` and the lower
case, because macOS takes `Ann` and `ann` for one name and both may be users.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts import FailureCode
from lifemask.objects.keys import Key, parts
from lifemask.objects.port import ObjectExists, ObjectInfo

_PARTS: Final = ".parts"
_STALE: Final = 24 * 3600
"""Seconds after which the part of a writer that was killed is removed; no write takes this long."""
_RACES: Final = 16
"""Tries to put a file into a folder that others remove because it is empty."""


class Tree:
    """The files below `root`, which is made when it is not there."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root = Path(os.path.realpath(root))
        self._parts = self._root / _PARTS
        self._parts.mkdir(mode=0o700, exist_ok=True)
        self._sweep()

    def part(self) -> Path:
        """A fresh place for a file that is still being written."""
        return self._parts / uuid4().hex

    def publish(self, part: Path, key: Key, *, create_only: bool) -> None:
        """Makes a finished part visible. Raises ObjectExists; the part is gone afterwards in every case."""
        path = self.path(key)
        try:
            self._into_place(part, path, create_only=create_only)
        except FileExistsError:
            raise ObjectExists("an object of this key exists") from None
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def path(self, key: Key) -> Path:
        """Where the object lies. A link on the way is refused: it could lead to another user's files."""
        path = self._root.joinpath(*(_escaped(part) for part in parts(key)))
        if os.path.realpath(path) != str(path):
            raise Misconfigured(FailureCode.STORE_DENIED, "the objects directory contains a link; remove it")
        return path

    def open(self, key: Key) -> BinaryIO:
        """The object for reading. Raises FileNotFoundError."""
        return _regular(os.open(self.path(key), os.O_RDONLY | os.O_NOFOLLOW))

    def head(self, key: Key) -> ObjectInfo | None:
        try:
            found = self.path(key).lstat()
        except FileNotFoundError:
            return None
        return _info(key, found) if stat.S_ISREG(found.st_mode) else None

    def delete(self, key: Key) -> None:
        """Removes the file and the folders that it leaves empty."""
        path = self.path(key)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # not empty
                return

    def folder(self, prefix: str) -> list[tuple[str, ObjectInfo | None]]:
        """What lies in the folder `prefix` (empty, or with the closing slash), in key order: folders without info."""
        folder = self.path(Key(prefix.removesuffix("/"))) if prefix else self._root
        try:
            with os.scandir(folder) as entries:
                return sorted(_listed(prefix, entries), key=lambda found: found[0])
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _into_place(self, part: Path, path: Path, *, create_only: bool) -> None:
        for _ in range(_RACES):
            try:
                if create_only:
                    os.link(part, path)
                else:
                    part.replace(path)
                return
            except FileNotFoundError:
                with suppress(FileExistsError, FileNotFoundError):  # others make and remove the same folders
                    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        raise OSError(errno.ESTALE, "the folder is removed again and again")

    def _sweep(self) -> None:
        for part in self._parts.iterdir():
            with suppress(FileNotFoundError):
                if part.lstat().st_mtime < time.time() - _STALE:
                    part.unlink()


def create(part: Path) -> BinaryIO:
    """Opens a new part for writing, readable by nobody else."""
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def finish(file: BinaryIO) -> None:
    """Closes a part whose bytes are on the disk: what refers to an object must not outlive it in a power cut."""
    with file:
        file.flush()
        os.fsync(file.fileno())


def _regular(descriptor: int) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a file")
    return os.fdopen(descriptor, "rb")


def _listed(prefix: str, entries: Iterator[os.DirEntry[str]]) -> Iterator[tuple[str, ObjectInfo | None]]:
    for entry in entries:
        if entry.name.startswith("."):
            continue
        key = prefix + _unescaped(entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield f"{key}/", None
        elif entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):
                yield key, _info(Key(key), entry.stat(follow_symlinks=False))


def _info(key: Key, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _sync_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):  # deleted again at once
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _escaped(part: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"+{letter[0].lower()}", part)


def _unescaped(name: str) -> str:
    return re.sub(r"\+([a-z])", lambda letter: letter[1].upper(), name)
