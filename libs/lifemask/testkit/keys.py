"""Throw-away keys: a root, one key per service and app, and a keyring of them. Made once per process."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from lifemask.contracts.keyring import Keyring, key_for
from lifemask.contracts.signing import Signer
from lifemask.keys.holders import HOLDERS

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
