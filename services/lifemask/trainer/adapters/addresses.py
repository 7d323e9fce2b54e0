"""Expiring addresses: of archives under our public URL or in the store, of callbacks under our public URL."""

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from lifemask.custody.contents import ARCHIVE
from lifemask.objects import keys
from lifemask.objects.archives import PresignedLinks, SealedArchive, archive_of, archive_token
from lifemask.objects.keys import Key
from lifemask.objects.tokens import BadToken, Tokens
from lifemask.trainer.domain.attempt import ArchiveAddress, AttemptId
from lifemask.trainer.ports import Dataset

_LONGEST: Final = timedelta(days=7)
"""Life of a presigned address that S3 accepts at most."""
_ALWAYS: Final = datetime.fromtimestamp(0, UTC)
"""At which no token has expired: whose archive it is for does not change with time."""


class TokenAddresses:
    """Archive and callback addresses whose tokens say what they are for and until when.

    Equal arguments give equal addresses, and no two attempts' addresses have the same path.
    """

    def __init__(self, public_url: str, tokens: Tokens) -> None:
        self._base = public_url.rstrip("/")
        self._tokens = tokens
        self._called = may_be_called(public_url)

    async def archive(self, attempt: AttemptId, dataset: Dataset, expires_at: datetime) -> ArchiveAddress:
        sealed = SealedArchive(Key(dataset.archive_key), attempt.number, dataset.archive_bytes, dataset.archive_sha256)
        token = archive_token(self._tokens, sealed, expires_at)
        return ArchiveAddress(f"{self._base}/v1/objects/{token}", gateway=True)

    def leads_to(self, path: str, attempt: AttemptId, *, gateway: bool) -> bool:
        own = keys.archive(attempt.user_id, attempt.run_id, ARCHIVE)
        try:
            sealed = archive_of(self._tokens.open(path.rpartition("/")[2], _ALWAYS))
        except BadToken:  # the store's own address, of which its path says what it is for
            return not gateway and path.endswith(f"/{own}")
        return (sealed.key, sealed.attempt) == (own, attempt.number)

    def callback(self, attempt: AttemptId, expires_at: datetime) -> str | None:
        if not self._called:
            return None
        key = f"{attempt.user_id}/{attempt.run_id}/{attempt.number}"
        return f"{self._base}/v1/callbacks/replicate/{self._tokens.mint(key, 'callback', expires_at)}"


class PresignedAddresses(TokenAddresses):
    """Archives straight from the store. What the provider fetches there is neither checked nor on record.

    The path is the run's, not the attempt's: enough, because a run's next attempt is made only when the one before
    provably made no training.
    """

    def __init__(self, public_url: str, tokens: Tokens, store: PresignedLinks) -> None:
        super().__init__(public_url, tokens)
        self._store = store

    async def archive(
        self,
        attempt: AttemptId,  # noqa: ARG002 - the port's
        dataset: Dataset,
        expires_at: datetime,
    ) -> ArchiveAddress:
        left = expires_at - datetime.now(UTC)
        life = min(max(left, timedelta(seconds=1)), _LONGEST)
        return ArchiveAddress(await self._store.link(Key(dataset.archive_key), life), gateway=False)


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
