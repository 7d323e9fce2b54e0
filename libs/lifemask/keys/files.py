"""The files in the directory of keys, and a keyring that is read again when its file changes.

KEYS/keyring.json        KEYS/root.fingerprint (the pinned root)        KEYS/{service}.pem (its private key, 0600)
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts import FailureCode
from lifemask.contracts.keyring import BadKeyring, Key, Keyring
from lifemask.contracts.signing import BadKey, Signer

_LOG: Final = structlog.get_logger(__name__)

KEYRING: Final = "keyring.json"
ROOT_FINGERPRINT: Final = "root.fingerprint"


@dataclass(frozen=True, slots=True)
class Keys:
    """A service's own key, and whom it believes."""

    signer: Signer
    trust: "Trust"
    path: Path
    stamp: tuple[int, int, int]
    """Of the private key's file when it was read."""

    def changed(self) -> bool:
        """Whether the file of the private key holds another one by now. Not when it is gone or being written."""
        if _stamp(self.path) == self.stamp:
            return False
        try:
            return Signer.load(self.path, self.signer.holder).keyid != self.signer.keyid
        except (OSError, BadKey):
            return False


def open_keys(folder: Path, service: str, root: str = "") -> Keys:
    """The keys of a service. `root`: the pinned fingerprint; empty takes the one in the directory.

    Raises Misconfigured when a file is missing, damaged, or of another root.
    """
    trust = Trust(folder, root)
    path = folder / f"{service}.pem"
    stamp = _stamp(path)
    try:
        signer = Signer.load(path, service)
    except (OSError, BadKey) as problem:
        raise _misconfigured(f"the key of {service} cannot be read: {_said(problem)}") from None
    if (known := trust.find(signer.keyid)) is None or known.holder != service:
        raise _misconfigured(f"the keyring does not know the key in {service}.pem")
    return Keys(signer, trust, path, stamp)


class Trust:
    """The keyring in a directory, read again when it changes; never replaced by an older one.

    A file that is damaged or older later changes nothing: the keyring known before stays, and the log says so.
    """

    def __init__(self, folder: Path, root: str = "") -> None:
        self._path = folder / KEYRING
        self._root = root or _read_root(folder)
        self.pinned = bool(root)
        """Whether a setting names the root, and not the directory alone."""
        self._stamp = _stamp(self._path)
        self._keyring = _read(self._path, self._root)

    @property
    def keyring(self) -> Keyring:
        """The keyring as it is now."""
        self._refresh()
        return self._keyring

    def find(self, keyid: str) -> Key | None:
        """The key of this id, whatever it may do and whenever it was good."""
        return self.keyring.find(keyid)

    def for_step(self, step: str, keyid: str, at: datetime) -> bytes:
        """As Keyring.for_step."""
        return self.keyring.for_step(step, keyid, at)

    def for_event(self, type: str, source: str, keyid: str, at: datetime) -> bytes:
        """As Keyring.for_event."""
        return self.keyring.for_event(type, source, keyid, at)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            found = _read(self._path, self._root)
        except Misconfigured as problem:
            _LOG.error("the changed keyring is not used", problem=problem.detail)
            return
        if found.version > self._keyring.version:
            _LOG.info("keyring", version=found.version)
            self._keyring = found
        elif found.data != self._keyring.data:
            _LOG.error("an older keyring is not used", version=found.version, known=self._keyring.version)


def _read_root(folder: Path) -> str:
    try:
        return (folder / ROOT_FINGERPRINT).read_text().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise _misconfigured(f"{ROOT_FINGERPRINT} cannot be read: {_said(problem)}") from None


def _read(path: Path, root: str) -> Keyring:
    try:
        return Keyring.load(path.read_bytes(), root)
    except (OSError, BadKeyring) as problem:
        raise _misconfigured(f"{KEYRING} cannot be used: {_said(problem)}") from None


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 # once per record: no object for it
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _said(problem: Exception) -> str:
    return type(problem).__name__ if isinstance(problem, OSError | UnicodeDecodeError) else str(problem)


def _misconfigured(detail: str) -> Misconfigured:
    return Misconfigured(
        FailureCode.INTERNAL,
        f"in the directory of LIFEMASK_KEYS, {detail} (`lifemask keys init` makes what is missing)",
    )
