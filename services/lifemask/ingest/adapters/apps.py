"""The apps that may call, from a JSON file; read again when it changes.

`{"acme": {"key_sha256": "…", "signing_keys": ["…"]}}`: the SHA-256 of its API key; Ed25519 public keys (32 bytes, as
base64) that sign its events, without which it has no Kafka door. Two at once let an app change its key.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts import OWN_APP, FailureCode
from lifemask.contracts.ids import NAME_PATTERN

_LOG: Final = structlog.get_logger(__name__)


def _not_ours(name: str) -> str:
    if name == OWN_APP:
        raise ValueError("this name is reserved")
    return name


def _is_key(text: str) -> str:
    if len(base64.b64decode(text, validate=True)) != 32:
        raise ValueError("no Ed25519 public key")
    return text


_Name = Annotated[str, Field(pattern=NAME_PATTERN), AfterValidator(_not_ours)]
_SigningKey = Annotated[str, AfterValidator(_is_key)]


class _App(BaseModel):
    """What ingest reads of an app; the notifier reads the rest."""

    key_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    signing_keys: tuple[_SigningKey, ...] = Field(default=(), max_length=10)


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
        for name, app in self._apps.items():  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, app.key_sha256):
                found = name
        return found

    def knows(self, name: str) -> bool:
        self._refresh()
        return name in self._apps

    def signing_keys(self, name: str) -> Sequence[bytes]:
        self._refresh()
        app = self._apps.get(name)
        return [base64.b64decode(key) for key in app.signing_keys] if app else []

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


def _read(path: Path) -> dict[str, _App]:
    try:
        return _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise _misconfigured(f"cannot be read: {type(error).__name__}") from None
    except ValidationError as error:
        places = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
        raise _misconfigured(f"has wrong values at: {places or 'the top'}") from None


def _misconfigured(detail: str) -> Misconfigured:
    return Misconfigured(FailureCode.INTERNAL, f"the file named by LIFEMASK_APPS {detail}")
