"""Whether a record is from who it says: its signature, by a key that may emit it, at the database's time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from lifemask.bus.inbound import Inbound
from lifemask.bus.outcomes import Misconfigured
from lifemask.bus.rows import Connection
from lifemask.contracts import BY_TYPE, FailureCode, RunCanceled, RunFailed, RunStalled
from lifemask.contracts.keyring import SOURCE, Keyring
from lifemask.contracts.signing import NotAuthentic, Reason, check_event, fingerprint, signature_of
from lifemask.keys.files import Trust
from lifemask.keys.holders import speaks_of_its_stage

Outsiders = Callable[[Inbound], Sequence[bytes] | None]
"""The public keys (raw), one of which must have signed a record that no service of ours may emit; None for all others.
"""

_STALE: Final = frozenset({Reason.ROTATED_OUT, Reason.COMPROMISED, Reason.UNKNOWN_KEY})
"""What a true record of the past looks like once its key was taken away."""


def nobody(_record: Inbound) -> None:
    """A service that listens to services alone."""
    return


@dataclass(frozen=True, slots=True)
class Check:
    """Verifies records for one service."""

    trust: Trust
    outsiders: Outsiders = nobody

    def reason(self, row: Inbound, at: datetime) -> Reason | None:
        """None, or why the record is not authentic."""
        if row.envelope is None or row.raw is None:
            return Reason.UNSIGNED
        try:
            keyid, signature = signature_of(row.raw)
            public = self._public(row, keyid, at)
            check_event(public, row.envelope, row.raw.key or b"", row.raw.value or b"", signature)
        except NotAuthentic as refused:
            return refused.reason
        return None if _of_its_stage(row) else Reason.NOT_ALLOWED

    def _public(self, row: Inbound, keyid: str, at: datetime) -> bytes:
        keys = self.outsiders(row)
        if keys is None:
            return self.trust.for_event(row.type, row.source, keyid, at)
        for public in keys:
            if fingerprint(public) == keyid:
                return public
        raise NotAuthentic(Reason.UNKNOWN_KEY)


def _of_its_stage(row: Inbound) -> bool:
    """Whether the source may speak of the stage that the body names. A body that cannot be read says nothing."""
    if (kind := BY_TYPE.get(row.type)) is None or not issubclass(kind, (RunFailed, RunCanceled, RunStalled)):
        return True
    try:
        event = kind.read(row.value)
    except ValidationError:
        return True
    return speaks_of_its_stage(row.source.removeprefix(SOURCE), event)


def may_be_old(reason: Reason) -> bool:
    """Whether a record that was believed once may be refused for this when it comes again."""
    return reason in _STALE


async def known(connection: Connection, rows: Sequence[Inbound]) -> set[str]:
    """Message ids of those records that the inbox has with the same bytes: it believed them when they came first."""
    found = await connection.fetch(
        """select i.msg_id from inbox i join unnest($1::text[], $2::text[], $3::bytea[]) as r (msg_id, type, value)
           on i.msg_id = r.msg_id and i.type = r.type and i.value = r.value""",
        [row.msg_id for row in rows],
        [row.type for row in rows],
        [row.value for row in rows],
    )
    return {row["msg_id"] for row in found}


async def check_version(connection: Connection, trust: Trust) -> None:
    """Raises Misconfigured for a keyring older than one that was seen here; notes a newer one.

    Another root than before is taken only when a setting names it: whoever can write the directory of keys could
    otherwise put a root of their own there.
    """
    ring = trust.keyring
    row = await connection.fetchrow("select root, version from keyring")
    if row is not None and row["root"] == ring.root and row["version"] > ring.version:
        raise Misconfigured(
            FailureCode.INTERNAL,
            f"the keyring in LIFEMASK_KEYS has version {ring.version}, but {row['version']} was in use here: "
            "put the newest keyring back",
        )
    if row is not None and row["root"] != ring.root and not trust.pinned:
        raise Misconfigured(
            FailureCode.INTERNAL,
            "the keyring in LIFEMASK_KEYS is of another root than the one in use here: put the right one back, "
            "or, if a new root is meant, name its fingerprint in LIFEMASK_KEYRING_ROOT",
        )
    await note_version(connection, ring)


async def note_version(connection: Connection, ring: Keyring) -> None:
    """Notes the version of a keyring that is in use; of one root it only ever grows."""
    await connection.execute(
        """insert into keyring (root, version) values ($1, $2)
           on conflict (one) do update set root = excluded.root, version = excluded.version
           where keyring.root <> excluded.root or keyring.version < excluded.version""",
        ring.root,
        ring.version,
    )
