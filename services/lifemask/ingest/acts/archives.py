"""Giving out an archive to the training provider: only the sealed bytes, and never without a record of it.

The archive is read twice: whole before its first byte goes, and again while it goes. Where the first reading is not the
sealed archive nothing goes at all; what an exchange in between could change is compared mark by mark, before it goes.

The record is stored before the last bytes go. So a training cannot have read an archive that nobody knows of; a crash
in between leaves a record of a fetch that did not end, and the provider fetches once more.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, NoReturn

import structlog

from lifemask.contracts import ArchiveFetched, ArchiveRefusal, new_id
from lifemask.ingest.acts.office import Office
from lifemask.ingest.domain.archives import Reading, Sealed, Sluice
from lifemask.ingest.ports import LinkExpired, LinkUnknown

_LOG: Final = structlog.get_logger(__name__)


class ArchiveWithheld(Exception):
    """What lies in the store is not the archive that was sealed; that is recorded."""


async def admit(office: Office, sealed: Sealed) -> None:
    """Raises LinkUnknown or LinkExpired when the run is not there or over: an address ends with its run."""
    run = await office.runs.run(sealed.user_id, sealed.run_id)
    if run is None:
        raise LinkUnknown
    if run.facts.end is not None:
        raise LinkExpired


async def pour(office: Office, sealed: Sealed) -> AsyncGenerator[bytes, None]:
    """The archive's bytes, once they proved to be the sealed ones. Raises ArchiveWithheld: before the first, or, for
    what was exchanged meanwhile, before any that differs.
    """
    await _weigh(office, sealed)
    sluice = Sluice(sealed, await _proven(office, sealed))
    async with aclosing(office.archives.read(sealed)) as chunks:
        async for chunk in chunks:
            if free := sluice.let_pass(chunk):
                yield free
    end = sluice.end()
    if end is None:
        await _refuse(office, sealed, ArchiveRefusal.OTHER_BYTES, sluice.again.seen, sluice.again.sha256)
    # each fetch is counted, so each has a name of its own
    await _record(office, sealed, ArchiveFetched(**_about(sealed), bytes=sealed.bytes), f"fetched:{new_id()}")
    yield end


async def _proven(office: Office, sealed: Sealed) -> Reading:
    """The first reading. Raises ArchiveWithheld when it is not the sealed archive."""
    first = Reading()
    async with aclosing(office.archives.read(sealed)) as chunks:
        async for chunk in chunks:
            first.add(chunk)
    if not sealed.is_in(first):
        await _refuse(office, sealed, ArchiveRefusal.OTHER_BYTES, first.seen, first.sha256)
    return first


async def _weigh(office: Office, sealed: Sealed) -> None:
    """Refuses what can be told from its size, before a byte of it goes. Raises ArchiveWithheld."""
    found = await office.archives.size(sealed)
    if found is None:
        await _refuse(office, sealed, ArchiveRefusal.MISSING, 0)
    elif found != sealed.bytes:
        await _refuse(office, sealed, ArchiveRefusal.OTHER_SIZE, found)


async def _refuse(office: Office, sealed: Sealed, why: ArchiveRefusal, found: int, sha256: str = "") -> NoReturn:
    """Records that an attempt's archive is not the sealed one, once, and raises ArchiveWithheld."""
    _LOG.error(
        "archive_withheld",
        run=sealed.run_id,
        attempt=sealed.attempt,
        why=why.value,
        sealed_bytes=sealed.bytes,
        found_bytes=found,
        sealed_sha256=sealed.sha256,
        found_sha256=sha256 or None,
    )
    await _record(office, sealed, ArchiveFetched(**_about(sealed), bytes=found, refused=why), f"withheld:{why.value}")
    raise ArchiveWithheld


async def _record(office: Office, sealed: Sealed, event: ArchiveFetched, what: str) -> None:
    cause = f"{sealed.run_id}:archive:{sealed.attempt}:{what}"
    await office.desk.commit(sealed.user_id, [event], cause=cause, run_id=sealed.run_id)


def _about(sealed: Sealed) -> dict[str, Any]:
    return {"user_id": sealed.user_id, "run_id": sealed.run_id, "attempt": sealed.attempt}
