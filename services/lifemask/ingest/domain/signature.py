"""The signature of a provider's callback (Standard Webhooks): HMAC-SHA256 over id, time and the raw bytes."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

TOLERANCE: Final = 300
"""Seconds that a callback's time may be away from ours, as the scheme recommends."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A callback as it came: the three headers and the body."""

    id: str
    timestamp: str
    signatures: str
    body: bytes


def secret_bytes(secret: str) -> bytes:
    """The key in `whsec_<base64>`. Raises ValueError for anything else."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("the provider's webhook secret is not base64") from None
    if not key:
        raise ValueError("the provider's webhook secret is empty")
    return key


def is_genuine(message: Signed, key: bytes, now: float) -> bool:
    """Whether `key` signed the message within the tolerance of `now` (seconds since the epoch); malformed is False."""
    if not (message.timestamp.isascii() and message.timestamp.isdigit() and len(message.timestamp) < 15):
        return False
    if abs(now - int(message.timestamp)) > TOLERANCE or not message.id:
        return False
    content = b".".join((message.id.encode(), message.timestamp.encode(), message.body))
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
    given = [part.removeprefix("v1,").encode() for part in message.signatures.split(" ") if part.startswith("v1,")]
    return any([hmac.compare_digest(expected, signature) for signature in given])  # noqa: C419 # compare all: equal time
