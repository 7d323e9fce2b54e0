"""The apps that may call, from a JSON file: `{"acme": {"key_sha256": "…"}}`; read again when it changes."""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts import FailureCode
from lifemask.contracts.ids import NAME_PATTERN

_LOG: Final = structlog.get_logger(__name__)
_Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class _App(BaseModel):
    """What ingest reads of an app; the notifier reads the rest."""

    key_sha256: str = Field(pattern="^[0-9a-f]{64}$")


_FILE: Final = TypeAdapter(dict[_Name, _App])


class AppsFile:
    """The port `Apps` on a file. Raises Misconfigured when the file cannot be read at the start.

    A file that is damaged later changes nothing: the apps known before go on, and the log says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._apps = _read(path)

    def named_by(self, key: str) -> str | None:
        self._refresh()
        digest = hashlib.sha256(key.encode()).hexdigest()
        found = None
        for name, expected in self._apps.items():  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, expected):
                found = name
        return found

    def knows(self, name: str) -> bool:
        self._refresh()
        return name in self._apps

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._apps = _read(self._path)
        except Misconfigured as problem:
            _LOG.error("the changed file of apps is not used", problem=problem.detail)  # a trace would show keys


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 # once per request: no object for it
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> dict[str, str]:
    try:
        apps = _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise _misconfigured(f"cannot be read: {type(error).__name__}") from None
    except ValidationError as error:
        places = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
        raise _misconfigured(f"has wrong values at: {places or 'the top'}") from None
    return {name: app.key_sha256 for name, app in apps.items()}


def _misconfigured(detail: str) -> Misconfigured:
    return Misconfigured(FailureCode.INTERNAL, f"the file named by LIFEMASK_APPS {detail}")
