"""Expiring addresses under our public URL."""

import ipaddress
from datetime import datetime
from urllib.parse import urlsplit

from lifemask.objects.tokens import Tokens
from lifemask.trainer.domain.attempt import AttemptId


class TokenAddresses:
    """Archive and callback addresses whose tokens say what they are for and until when."""

    def __init__(self, public_url: str, tokens: Tokens) -> None:
        self._base = public_url.rstrip("/")
        self._tokens = tokens
        self._called = may_be_called(public_url)

    def archive(self, key: str, expires_at: datetime) -> str:
        return f"{self._base}/v1/objects/{self._tokens.mint(key, 'archive', expires_at)}"

    def callback(self, attempt: AttemptId, expires_at: datetime) -> str | None:
        if not self._called:
            return None
        key = f"{attempt.user_id}/{attempt.run_id}/{attempt.number}"
        return f"{self._base}/v1/callbacks/replicate/{self._tokens.mint(key, 'callback', expires_at)}"


def may_be_called(public_url: str) -> bool:
    """Whether the provider calls back there: by https, or on this machine. Elsewhere the looks must do."""
    parts = urlsplit(public_url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761: always this machine
