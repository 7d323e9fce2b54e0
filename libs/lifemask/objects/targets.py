"""Targets: a right to put one object straight into the store, for whoever has no key of ours.

A target is for one key, one size, one media type, one SHA-256, until a time, and only while no object of that key
exists. S3 checks all of that itself, because every one of these is a signed header; for a store that cannot, ingest
takes the bytes under a token URL and checks the same.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from lifemask.objects.keys import Key
from lifemask.objects.tokens import BadToken, Ticket, Tokens

_TERMS: Final = re.compile(r"([0-9]{1,18}) ([0-9a-f]{64}) ([a-z]+/[a-z0-9.+-]+)")


@dataclass(frozen=True, slots=True)
class Expected:
    """The one object that a target takes. `sha256` is hexadecimal, `bytes` its size."""

    key: Key
    bytes: int
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Target:
    """How to put it: all of `headers` must be sent as they are."""

    url: str
    headers: Mapping[str, str]
    method: str = "PUT"


@runtime_checkable
class PresignedTargets(Protocol):
    """A store, or ingest in its place, that lets others put objects."""

    async def target(self, expected: Expected, lifetime: timedelta) -> Target:
        """A target from now on for `lifetime`."""


def headers_of(expected: Expected) -> dict[str, str]:
    """What whoever puts the object must send: the same for every store."""
    return {
        "Content-Length": str(expected.bytes),
        "Content-Type": expected.media_type,
        "If-None-Match": "*",
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(expected.sha256)).decode(),
    }


class TokenTargets:
    """Targets as token URLs of ours. `public_url` is the base of our URLs as others see them."""

    def __init__(self, tokens: Tokens, public_url: str) -> None:
        self._tokens = tokens
        self._base = public_url.rstrip("/")

    async def target(self, expected: Expected, lifetime: timedelta) -> Target:
        terms = f"{expected.bytes} {expected.sha256} {expected.media_type}"
        token = self._tokens.mint(expected.key, "upload", datetime.now(UTC) + lifetime, terms)
        return Target(f"{self._base}/v1/objects/{token}", headers_of(expected))


def expected_of(ticket: Ticket) -> Expected:
    """What an opened token takes. Raises BadToken for one of another purpose."""
    found = _TERMS.fullmatch(ticket.terms)
    if ticket.purpose != "upload" or found is None:
        raise BadToken("the link takes no object")
    return Expected(Key(ticket.key), int(found[1]), found[2], found[3])
