"""Signed files: a statement's payload in a DSSE envelope, and whether the key that signed it was allowed to."""

from datetime import datetime
from typing import Final, Protocol

from lifemask.contracts.keyring import Key
from lifemask.contracts.signing import BadSignature, NotAuthentic, Reason, Sealed, Signer, check_signature, seal, unseal
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.steps import AnyAct, AnyStep

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


class StepKeys(Protocol):
    """Who may sign which step or act: a Keyring, or one that is kept current."""

    def find(self, keyid: str) -> Key | None:
        """The key of this id, whatever it may do and whenever it was good."""

    def for_step(self, step: str, keyid: str, at: datetime) -> bytes:
        """The public key, raw. Raises Untrusted."""


def write_envelope(payload: bytes, signer: Signer) -> bytes:
    """The file of a statement. The same payload and key give the same bytes."""
    return seal(PAYLOAD_TYPE, payload, signer)


def read_envelope(kind: AnyStep | AnyAct, data: bytes) -> Sealed:
    """Payload, key id and signature in a file; nothing is verified yet. Raises CustodyBroken."""
    try:
        return unseal(data, PAYLOAD_TYPE)
    except BadSignature:
        raise CustodyBroken(f"{kind.name}: statement is not a signed one") from None


def check_signer(kind: AnyStep | AnyAct, sealed: Sealed, keys: StepKeys, at: datetime) -> None:
    """Raises CustodyBroken unless it is signed by a key that may sign `kind` and is good for what is seen at `at`."""
    try:
        public = keys.for_step(kind.name, sealed.keyid, at)
        check_signature(public, PAYLOAD_TYPE, sealed.payload, sealed.signature)
    except NotAuthentic as problem:
        raise CustodyBroken(f"{kind.name}: {problem.reason}") from None


def check_unwitnessed(kind: AnyStep | AnyAct, sealed: Sealed, keys: StepKeys, claimed: datetime) -> None:
    """The same for a statement that nobody else has seen: its own time is believed unless the key was ever stolen."""
    key = keys.find(sealed.keyid)
    if key is not None and key.compromised_at is not None:
        raise CustodyBroken(f"{kind.name}: {Reason.COMPROMISED}")
    check_signer(kind, sealed, keys, claimed)


def holder_of(sealed: Sealed, keys: StepKeys) -> str | None:
    """Whose key it says it is."""
    key = keys.find(sealed.keyid)
    return key.holder if key else None
