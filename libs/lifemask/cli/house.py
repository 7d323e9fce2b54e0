"""The data directory of one `lifemask up`: its lock, its keys, and what it tells clients.

DATA/up.lock    held while an `up` runs here
DATA/up.json    addresses and the app key, for clients of the same person (mode 0600); there while it runs
DATA/app.key    the demo app's key (0600)      DATA/apps.json   its SHA-256, for the services (0600)
DATA/app.pem    with which it signs its events (0600)
DATA/keys/      keys of the services           DATA/logs/       one log per process
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lifemask.cli.keys import make_missing
from lifemask.cli.stops import Missing
from lifemask.cli.whereabouts import UP_FILE
from lifemask.contracts.signing import Signer

APP: Final = "demo"
_URL_KEY_BYTES: Final = 32


@contextmanager
def occupied(data: Path) -> Iterator[Path]:
    """Makes the directory and keeps other `up`s out of it. Raises Missing when one is in it or it cannot be made."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        fd = os.open(data / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Missing(f"{data} cannot be used: {error.strerror}.", "Choose another directory with --data.") from None
    try:
        _lock(fd, data)
        (data / UP_FILE).unlink(missing_ok=True)
        yield data.resolve()
    finally:
        os.close(fd)


def make_keys(data: Path, keys: Path | None = None) -> str:
    """Keys that are not there yet, and the apps file for the one app of this machine. Returns the app's key.

    `keys`: the directory of the services' keys, when it is not DATA/keys. Raises Failed or Missing.
    """
    own = data / "keys"
    own.mkdir(exist_ok=True, parents=True)
    own.chmod(0o700)
    _once(own / "url.key", secrets.token_bytes(_URL_KEY_BYTES))
    make_missing(keys or own)
    _once(data / "app.key", f"lm_{secrets.token_urlsafe(32)}".encode())
    key = (data / "app.key").read_text()
    apps = {
        APP: {
            "key_sha256": hashlib.sha256(key.encode()).hexdigest(),
            "signing_keys": [base64.b64encode(app_signer(data).public).decode()],
        }
    }
    write_private(data / "apps.json", json.dumps(apps, indent=2).encode())
    return key


def app_signer(data: Path) -> Signer:
    """The key with which the one app of this machine signs its events; made when it is not there."""
    path = data / "app.pem"
    if not path.exists():
        Signer.generate(APP).save(path)
    return Signer.load(path, APP)


@contextmanager
def announced(data: Path, facts: Mapping[str, Any]) -> Iterator[None]:
    """Tells clients on this machine where everything is, while the block lasts."""
    write_private(data / UP_FILE, json.dumps(facts, indent=2).encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (data / UP_FILE).unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file as a whole; only its owner can ever read it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def _once(path: Path, content: bytes) -> None:
    if not path.exists():
        write_private(path, content)


def _lock(fd: int, data: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        raise Missing(
            f"{data} is in use by another `lifemask up`{f' (process {holder})' if holder else ''}.",
            "Stop that one, or choose another directory with --data.",
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
