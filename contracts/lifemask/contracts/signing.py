"""Ed25519 signatures of events and statements. Needs the extra `lifemask-contracts[verify]` (cryptography).

A statement or keyring travels in a DSSE envelope (https://github.com/secure-systems-lab/dsse); an event carries its
signature in the headers `ce_keyid` and `ce_signature`. Key ids are SSH fingerprints: `SHA256:<base64, no padding>`.
"""

import base64
import binascii
import functools
import hashlib
import json
import os
import struct
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from lifemask.contracts.catalogue import parse
from lifemask.contracts.envelope import AnyRecord, BadEnvelope, Envelope, Record, headers_of, read_envelope, value_of
from lifemask.contracts.event import Event

KEYID: Final = "ce_keyid"
SIGNATURE: Final = "ce_signature"
_EVENT: Final = b"lifemask event v1"
"""Keeps signatures of events apart from all others made with the same key."""


class Reason(StrEnum):
    """Why something is not authentic: a fixed set of words, nothing of its content."""

    UNSIGNED = "unsigned"
    """There is no signature, or none that can be read."""
    UNKNOWN_KEY = "unknown key"
    """Nobody we know has the key that it names."""
    NOT_ALLOWED = "key not allowed"
    """The key's holder may not sign this step, or emit this event under this source."""
    TOO_EARLY = "key not valid yet"
    ROTATED_OUT = "key rotated out"
    """It was seen after the key's last day."""
    COMPROMISED = "key compromised"
    """It was seen after the moment since when the key may be in other hands."""
    BAD_SIGNATURE = "bad signature"
    """The signature is not of these bytes by this key."""


class NotAuthentic(Exception):
    """A record or statement that must not be believed; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Untrusted(NotAuthentic):
    """The keyring does not allow the key to sign this."""


class BadSignature(NotAuthentic):
    """The envelope is malformed (UNSIGNED), or its signature is not of these bytes (BAD_SIGNATURE)."""


class BadKey(ValueError):
    """A file holds no Ed25519 private key."""


class Sealed(NamedTuple):
    """The parts of an envelope. Nothing is verified yet."""

    payload: bytes
    keyid: str
    signature: bytes


class EventKeys(Protocol):
    """Who may emit which event: a Keyring, or one that is kept current."""

    def for_event(self, type: str, source: str, keyid: str, at: datetime) -> bytes:
        """The public key, raw. Raises Untrusted."""


def fingerprint(public: bytes) -> str:
    """The id of a public key (32 bytes): its SSH fingerprint, as `ssh-keygen -l` prints it."""
    kind = b"ssh-ed25519"
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(public)) + public
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


class Signer:
    """A private key and who holds it: a service's name, an app's, or `root`."""

    def __init__(self, holder: str, private: Ed25519PrivateKey) -> None:
        self.holder = holder
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.keyid = fingerprint(self.public)

    def __repr__(self) -> str:
        return f"Signer({self.holder!r}, {self.keyid!r})"

    @classmethod
    def generate(cls, holder: str) -> "Signer":
        """A new key."""
        return cls(holder, Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path, holder: str) -> "Signer":
        """The key in a PEM file (PKCS8). Raises OSError, or BadKey when the file holds something else."""
        data = path.read_bytes()
        try:
            private = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise BadKey(f"{path.name} holds no Ed25519 private key in PEM without a password")
        return cls(holder, private)

    def save(self, path: Path) -> None:
        """Writes a new PEM file that only its owner may read. Raises FileExistsError: no key is ever overwritten."""
        data = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes; the same data gives the same bytes."""
        return self._private.sign(data)


def pae(payload_type: str, payload: bytes) -> bytes:
    """What DSSE signs: type and payload, each with its length."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """The payload in a DSSE envelope with one signature. The same input gives the same bytes."""
    return _envelope(payload_type, Sealed(payload, signer.keyid, signer.sign(pae(payload_type, payload))))


def unseal(data: bytes, payload_type: str) -> Sealed:
    """Takes an envelope apart that `seal` made. Raises BadSignature for any other bytes, even of equal meaning.

    So there is one spelling of an envelope: no second signature, member or base64 can be slipped in.
    """
    try:
        found: Any = json.loads(data)
        [one] = found["signatures"]
        sealed = Sealed(_decoded(found["payload"]), str(one["keyid"]), _decoded(one["sig"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadSignature(Reason.UNSIGNED) from None
    if _envelope(payload_type, sealed) != data:
        raise BadSignature(Reason.UNSIGNED)
    return sealed


def check_signature(public: bytes, payload_type: str, payload: bytes, signature: bytes) -> None:
    """Raises BadSignature unless `signature` is of this payload, as this type, by `public` (32 bytes)."""
    _check(public, pae(payload_type, payload), signature)


def sign(record: Record, signer: Signer) -> Record:
    """The record with its signature in two more headers. Raises BadEnvelope for one that is no event."""
    signature = signer.sign(_signed(read_envelope(record.headers), record.key, record.value))
    kept = tuple(pair for pair in record.headers if pair[0].lower() not in (KEYID, SIGNATURE))
    return record._replace(headers=(*kept, *signature_headers(signer.keyid, signature)))


def sign_event(envelope: Envelope, key: bytes, body: bytes, signer: Signer) -> tuple[tuple[str, bytes], ...]:
    """The two headers that sign an event."""
    return signature_headers(signer.keyid, signer.sign(_signed(envelope, key, body)))


def signature_headers(keyid: str, signature: bytes) -> tuple[tuple[str, bytes], ...]:
    """A signature as it travels with an event."""
    return ((KEYID, keyid.encode()), (SIGNATURE, base64.b64encode(signature)))


def verify(record: AnyRecord, keyring: EventKeys, at: datetime | None = None) -> Event:
    """The event in a Kafka record, once it is certain that the service it names as its source has emitted it.

    `at` (with a zone): when the record came; now, if it comes now. Who reads old records again, of keys rotated out
    since, passes the record's time, and trusts the broker's clock by that. Takes the records of aiokafka and
    confluent-kafka. Time and traceparent of the envelope are not signed.
    Raises NotAuthentic; and BadEnvelope, UnknownType or ValidationError as `parse` does.
    """
    envelope = read_envelope(headers_of(record))
    keyid, signature = signature_of(record)
    public = keyring.for_event(envelope.type, envelope.source, keyid, at or datetime.now(UTC))
    check_event(public, envelope, _key_of(record), value_of(record), signature)
    return parse(record)


def signature_of(record: AnyRecord) -> tuple[str, bytes]:
    """Key id and signature in a record's headers. Raises NotAuthentic when there is none that can be read."""
    found = {name.lower(): value for name, value in headers_of(record)}
    try:
        return (found[KEYID] or b"").decode(), _decoded((found[SIGNATURE] or b"").decode())
    except (KeyError, ValueError):
        raise NotAuthentic(Reason.UNSIGNED) from None


def check_event(public: bytes, envelope: Envelope, key: bytes, body: bytes, signature: bytes) -> None:
    """Raises BadSignature unless `signature` is of this event by `public` (32 bytes)."""
    _check(public, _signed(envelope, key, body), signature)


def _signed(envelope: Envelope, key: bytes, body: bytes) -> bytes:
    parts = (envelope.type, envelope.source, envelope.id, envelope.subject or "")
    return _EVENT + b"".join(
        struct.pack(">Q", len(part)) + part for part in (*(text.encode() for text in parts), key, body)
    )


def _check(public: bytes, data: bytes, signature: bytes) -> None:
    try:
        _verifier(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise BadSignature(Reason.BAD_SIGNATURE) from None


@functools.lru_cache(maxsize=256)
def _verifier(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def _envelope(payload_type: str, sealed: Sealed) -> bytes:
    whole = {
        "payload": base64.b64encode(sealed.payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": sealed.keyid, "sig": base64.b64encode(sealed.signature).decode()}],
    }
    return json.dumps(whole, separators=(",", ":"), sort_keys=True).encode()


def _decoded(text: str) -> bytes:
    """Raises ValueError unless `text` is base64 in its one canonical spelling."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise binascii.Error("another spelling")
    return data


def _key_of(record: Any) -> bytes:
    """The key of a record; a client's deserializer may have made text of it."""
    found = record.key() if callable(record.key) else record.key
    return found.encode() if isinstance(found, str) else found or b""


__all__ = [
    "KEYID",
    "SIGNATURE",
    "BadEnvelope",
    "BadKey",
    "BadSignature",
    "EventKeys",
    "NotAuthentic",
    "Reason",
    "Sealed",
    "Signer",
    "Untrusted",
    "check_event",
    "check_signature",
    "fingerprint",
    "pae",
    "seal",
    "sign",
    "sign_event",
    "signature_of",
    "unseal",
    "verify",
]
