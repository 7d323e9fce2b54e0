"""Making keys and rotating them: one root, one key per service, and the keyring that the root signs.

Every step may be interrupted and repeated: a private key is never overwritten before the keyring knows its successor.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from lifemask.contracts.keyring import BadKeyring, Key, Keyring, key_for
from lifemask.contracts.signing import Signer
from lifemask.keys.files import KEYRING, ROOT_FINGERPRINT
from lifemask.keys.holders import HOLDERS, READER

OFFLINE: Final = Path("offline") / "root.pem"
"""Where the root's private key lies on one machine, below the directory of keys. Elsewhere: not on the machine."""
_SKEW: Final = timedelta(minutes=5)
"""A new key is good from a little before it was made: the database's clock is another one."""


class NoKeys(Exception):
    """Keys cannot be made or rotated. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a key is replaced. `overlap`: how long what the old one signed is still believed.

    `compromised_at`: since when the old key may be in other hands; then nothing seen from then on is believed.
    """

    overlap: timedelta = timedelta(hours=24)
    compromised_at: datetime | None = None


def make(folder: Path, now: datetime, root_path: Path | None = None) -> Keyring | None:
    """Makes what is missing: the root (at `root_path`), a key per service, the keyring. None when all is there.

    Raises NoKeys when there is a keyring but a service's key is missing, and OSError.
    """
    if (folder / KEYRING).exists():
        _refuse_halves(folder)
        return None
    root_path = root_path or folder / OFFLINE
    for directory in (folder, root_path.parent):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = _loaded_or_new(root_path, "root")
    signers = {name: _loaded_or_new(folder / f"{name}.pem", name) for name in HOLDERS}
    ring = Keyring.issue(1, [_entry(signer, now) for signer in signers.values()], root, now)
    _replace(folder / ROOT_FINGERPRINT, (root.keyid + "\n").encode())
    _replace(folder / KEYRING, ring.data)
    return ring


def rotate(folder: Path, service: str, root: Signer, now: datetime, how: Rotation) -> Keyring:
    """Gives a service a new key and issues the next keyring. Raises NoKeys, and OSError.

    Services read a changed keyring by themselves; the one whose key was changed ends and is started again.
    """
    if service not in HOLDERS:
        raise NoKeys(f"There is no service {service}. Name one of: {', '.join(HOLDERS)}.")
    old = load(folder)
    if old.root != root.keyid:
        raise NoKeys(f"The keyring is signed by another root ({old.root}) than this one ({root.keyid}).")
    signer = Signer.generate(service)
    fresh = folder / f".{service}.pem.new"
    fresh.unlink(missing_ok=True)
    signer.save(fresh)
    keys = [_ended(key, now, how) if key.holder == service else key for key in old.contents.keys]
    ring = Keyring.issue(old.version + 1, [*keys, _entry(signer, now)], root, now)
    _replace(folder / KEYRING, ring.data)
    fresh.replace(folder / f"{service}.pem")
    return ring


def hand_out(folder: Path, each: Path, more: Mapping[str, Sequence[str]]) -> None:
    """Gives each service that has a directory in `each` the keyring, its own key, and the files `more` names for it;
    the auditor, who signs nothing, the keyring alone.

    So that no service can read another's key. Repeat it after a rotation. Raises OSError.
    """
    for service in (*HOLDERS, READER):
        own = each / service
        if own.is_dir():
            key = () if service == READER else (f"{service}.pem",)
            for name in (*key, ROOT_FINGERPRINT, KEYRING, *more.get(service, ())):
                _replace(own / name, (folder / name).read_bytes())


def load(folder: Path) -> Keyring:
    """The keyring in a directory, by the root pinned beside it. Raises NoKeys."""
    try:
        return Keyring.load((folder / KEYRING).read_bytes(), (folder / ROOT_FINGERPRINT).read_text())
    except FileNotFoundError as missing:
        raise NoKeys(f"{missing.filename} is missing. `lifemask keys init` makes keys.") from None
    except BadKeyring as problem:
        raise NoKeys(f"{folder / KEYRING}: {problem}.") from None


def _ended(key: Key, now: datetime, how: Rotation) -> Key:
    """The key with its end. One that has an end keeps it, unless a compromise cuts it short.

    One that ended before the compromise is marked as well: a backup holds it too, and who has it can date back.
    """
    lost = how.compromised_at
    if lost is None:
        return key if key.until else key.model_copy(update={"until": now + how.overlap})
    return key.model_copy(
        update={"until": min(now, key.until or now), "compromised_at": min(lost, key.compromised_at or lost)}
    )


def _entry(signer: Signer, now: datetime) -> Key:
    may = HOLDERS[signer.holder]
    return key_for(signer, steps=may.steps, events=may.events, since=now - _SKEW)


def _refuse_halves(folder: Path) -> None:
    missing = [name for name in HOLDERS if not (folder / f"{name}.pem").exists()]
    if missing:
        raise NoKeys(
            f"{folder} has a keyring but no key of {', '.join(missing)}. Put it back, "
            "or give that service a new one with `lifemask keys rotate`."
        )


def _loaded_or_new(path: Path, holder: str) -> Signer:
    if path.exists():
        return Signer.load(path, holder)
    signer = Signer.generate(holder)
    signer.save(path)
    return signer


def _replace(path: Path, data: bytes) -> None:
    """Replaces a file as a whole: whoever reads it meanwhile sees the old one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
