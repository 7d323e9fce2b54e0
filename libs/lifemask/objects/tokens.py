"""Expiring URLs for one object and one purpose, without a list of them kept anywhere.

A token is `body.mac`, both URL-safe base64 without padding: compact JSON of key, purpose and expiry, and its
HMAC-SHA256 under a secret that the services share.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

Purpose = Literal["archive", "weights", "callback", "upload"]

_DOMAIN: Final = b"lifemask url token 1\n"
_SECRET_BYTES: Final = 32
_LONGEST: Final = 2048
"""Characters; the longest key makes a token of about 600."""


class BadToken(ValueError):
    """The token is forged, damaged or past its time. The text tells which, never what it is for."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token allows: this key, for this purpose, on these terms (for an upload: what exactly may be put)."""

    key: str
    purpose: Purpose
    terms: str = ""


class Tokens:
    """Mints and opens tokens under one secret of 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _SECRET_BYTES:
            raise ValueError(f"the secret of token URLs has {_SECRET_BYTES} bytes")
        self._secret = secret

    def mint(self, key: str, purpose: Purpose, expires_at: datetime, terms: str = "") -> str:
        """A token for `key` until `expires_at` (whole seconds, rounded down)."""
        body: dict[str, str | int] = {"exp": int(expires_at.timestamp()), "key": key, "for": purpose}
        if terms:
            body["terms"] = terms
        packed = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        return f"{_text(packed)}.{_text(self._mac(packed))}"

    def open(self, token: str, now: datetime) -> Ticket:
        """What the token allows at `now`. Raises BadToken."""
        packed = self._authentic(token)
        body = json.loads(packed)
        if now.timestamp() >= body["exp"]:
            raise BadToken("the link has expired")
        if body["for"] not in get_args(Purpose):
            raise BadToken("the link is for a purpose that is not known here")
        return Ticket(body["key"], body["for"], body.get("terms", ""))

    def _authentic(self, token: str) -> bytes:
        body, _, mac = token.partition(".")
        if len(token) > _LONGEST:
            raise BadToken("the link is too long")
        try:
            packed, claimed = _bytes(body), _bytes(mac)
        except (binascii.Error, ValueError):
            raise BadToken("the link is damaged") from None
        if not hmac.compare_digest(self._mac(packed), claimed):
            raise BadToken("the link is not ours")
        return packed

    def _mac(self, packed: bytes) -> bytes:
        return hmac.digest(self._secret, _DOMAIN + packed, hashlib.sha256)


def load_secret(keys: Path) -> bytes:
    """The secret in `keys/url.key`, made by whichever service comes first. Raises ValueError when it is damaged."""
    path = keys / "url.key"
    if not path.exists():
        _create(path, secrets.token_bytes(_SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise ValueError(f"url.key must hold {_SECRET_BYTES} bytes; remove it to have a new one made")
    return secret


def _create(path: Path, secret: bytes) -> None:
    """Whole or not at all: another service may read at any moment. An existing file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
