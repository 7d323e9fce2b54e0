"""Addresses at which the training provider fetches an archive.

Through the gateway: the token itself says whose archive it is, of which attempt, and which bytes were sealed, so that
whoever serves it can hold back anything else. Or signed by the store: then nobody of ours sees what is fetched.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from lifemask.objects.keys import BadKey, Key, parts, run_prefix
from lifemask.objects.tokens import BadToken, Ticket, Tokens

_TERMS: Final = re.compile(r"([1-9][0-9]{0,8}) ([0-9]{1,18}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class SealedArchive:
    """The archive of one attempt as the dataset statement has it: `bytes` its size, `sha256` hexadecimal."""

    key: Key
    attempt: int
    bytes: int
    sha256: str

    @property
    def owner(self) -> tuple[str, str]:
        """User and run that the archive belongs to: its key says so. Raises BadKey for a key of anything else."""
        match parts(self.key):
            case ("users", user, "runs", run, "archive", _) if self.key.startswith(run_prefix(user, run)):
                return user, run
        raise BadKey("the key is not that of an archive")


@runtime_checkable
class PresignedLinks(Protocol):
    """A store that lets others read objects at addresses of its own."""

    async def link(self, key: Key, lifetime: timedelta) -> str:
        """An address from now on for `lifetime`, at most 7 days."""


def archive_token(tokens: Tokens, archive: SealedArchive, expires_at: datetime) -> str:
    """The right to fetch this archive, as long as it is what was sealed, until `expires_at`."""
    terms = f"{archive.attempt} {archive.bytes} {archive.sha256}"
    return tokens.mint(archive.key, "archive", expires_at, terms)


def archive_of(ticket: Ticket) -> SealedArchive:
    """What an opened token is for. Raises BadToken for one of another purpose."""
    found = _TERMS.fullmatch(ticket.terms)
    if ticket.purpose != "archive" or found is None:
        raise BadToken("the link is not for an archive")
    archive = SealedArchive(Key(ticket.key), int(found[1]), int(found[2]), found[3])
    try:
        _ = archive.owner
    except BadKey:
        raise BadToken("the link is not for an archive") from None
    return archive
