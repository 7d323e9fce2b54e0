"""Throw-away keys: a root, one key per service and app, and a keyring of them. Made once per process.

`signed` makes the record of an event as the service, or app, sends it that may.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from lifemask.contracts import Event, PhotosUploaded, Record, app_of, new_id, pack, split_version
from lifemask.contracts.keyring import Keyring, key_for
from lifemask.contracts.signing import Signer, sign
from lifemask.keys.files import KEYRING, ROOT_FINGERPRINT
from lifemask.keys.holders import HOLDERS, speaks_of_its_stage

SINCE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""The test kit's keys are good from here on."""


@dataclass(frozen=True)
class TestKeys:
    """A whole installation's keys. `signers`: by service."""

    __test__ = False

    root: Signer
    signers: Mapping[str, Signer]
    keyring: Keyring


def make_keys(version: int = 1) -> TestKeys:
    """A new root, a new key for every service, and their keyring."""
    root = Signer.generate("root")
    signers = {name: Signer.generate(name) for name in HOLDERS}
    keys = [key_for(signers[name], steps=may.steps, events=may.events, since=SINCE) for name, may in HOLDERS.items()]
    return TestKeys(root, signers, Keyring.issue(version, keys, root, SINCE))


@cache
def test_keys() -> TestKeys:
    """The keys that all tests of a process share."""
    return make_keys()


test_keys.__test__ = False  # type: ignore[attr-defined]  # pytest reads it: this is no test


def write_keys(folder: Path, keys: TestKeys | None = None) -> Path:
    """Puts keyring, pinned root and the services' private keys into a directory; returns it."""
    keys = keys or test_keys()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEYRING).write_bytes(keys.keyring.data)
    (folder / ROOT_FINGERPRINT).write_text(keys.root.keyid + "\n")
    for name, signer in keys.signers.items():
        signer.save(folder / f"{name}.pem")
    return folder


@cache
def app_signer(app: str) -> Signer:
    """The key of an app, the same for the whole process."""
    return Signer.generate(app)


def signing_keys(app: str) -> list[str]:
    """The entry `signing_keys` of an app in the apps file."""
    return [base64.b64encode(app_signer(app).public).decode()]


def signed(
    event: Event,
    *,
    id: str | None = None,
    source: str | None = None,
    time: datetime | None = None,
    traceparent: str | None = None,
) -> Record:
    """The event's record, signed by who may emit it: its user's app, or the first service that may."""
    signer = signer_for(event)
    own = f"app/{signer.holder}" if isinstance(event, PhotosUploaded) else f"lifemask/{signer.holder}"
    packed = pack(
        event, id=id or new_id(), source=source or own, time=time or datetime.now(UTC), traceparent=traceparent
    )
    return sign(packed, signer)


def signer_for(event: Event) -> Signer:
    """The key of who may emit the event."""
    if isinstance(event, PhotosUploaded):
        return app_signer(app_of(event.user_id))
    family, _ = split_version(event.ce_type)
    holder = next(name for name, may in HOLDERS.items() if family in may.events and speaks_of_its_stage(name, event))
    return test_keys().signers[holder]
