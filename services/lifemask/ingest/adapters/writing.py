"""What ingest keeps in PostgreSQL, written: inside the transaction that also stores the events.

Each writer locks the run's row first, so that folds, uploads and submissions of one run come one after the other,
whichever process they run in, and each change of the view gets the next number.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from lifemask.bus.rows import Connection
from lifemask.contracts import ModelReady, ModelRevoked, PhotoJudged, RunEvent, RunRejected
from lifemask.ingest.adapters.records import COUNTS, PHOTO, RUN, counts_of, photo_of, run_of, write_facts
from lifemask.ingest.domain.changes import Moment, change_of
from lifemask.ingest.domain.facts import FOLDED
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.rows import (
    Disposed,
    KeyTaken,
    NewPhoto,
    NewRun,
    NotADraft,
    PhotoUnknown,
    RemovedPhoto,
    RunFull,
    RunUnknown,
    SameFile,
    Seen,
    SetChanged,
    Submitted,
)
from lifemask.ingest.domain.runs import Run, missing

_KEYS_KEPT = "8 days"
"""Idempotency keys are promised for 7."""


class RowWriter:
    """The service's one writer. `minimum` is how many usable photos a run needs."""

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum

    async def __call__(self, connection: Connection, row: object) -> None:
        match row:
            case NewRun():
                await self._begin(connection, row)
            case NewPhoto():
                await self._add(connection, row)
            case RemovedPhoto():
                await self._remove(connection, row)
            case Submitted():
                await self._submit(connection, row)
            case Seen(event):
                await self._fold(connection, event)
            case Disposed():
                await _dispose(connection, row)
            case _:
                raise TypeError(f"ingest has no table for {type(row).__name__}")

    async def _begin(self, connection: Connection, row: NewRun) -> None:
        if row.key is not None and (taken := await _key(connection, row.user_id, row.key)) is not None:
            raise taken
        await connection.execute(
            "insert into run (user_id, run_id, request) values ($1, $2, $3) on conflict do nothing",
            row.user_id,
            row.run_id,
            row.request,
        )
        run = await _lock(connection, row.user_id, row.run_id)
        if row.key is not None:
            await _keep_key(connection, row, row.key)
        await self._note(connection, Moment(None, None), await self._moment(connection, run), None)

    async def _add(self, connection: Connection, row: NewPhoto) -> None:
        run = await _lock_draft(connection, row.user_id, row.run_id)
        before = await self._moment(connection, run)
        known = await connection.fetchval(
            "select photo_id from photo where user_id = $1 and run_id = $2 and sha256 = $3 and removed_at is null",
            row.user_id,
            row.run_id,
            row.sha256,
        )
        if known is not None:
            raise SameFile(known)
        if before.counts is not None and before.counts.received >= row.limit:
            raise RunFull
        record = await connection.fetchrow(
            f"""insert into photo (user_id, run_id, photo_id, sha256, bytes, media_type)
                values ($1, $2, $3, $4, $5, $6) returning {PHOTO}""",  # noqa: S608 # column list of this package
            row.user_id,
            row.run_id,
            row.photo_id,
            row.sha256,
            row.bytes,
            row.media_type,
        )
        await self._note(connection, before, await self._moment(connection, run), _photo(record))

    async def _remove(self, connection: Connection, row: RemovedPhoto) -> None:
        run = await _lock_draft(connection, row.user_id, row.run_id)
        before = await self._moment(connection, run)
        record = await connection.fetchrow(
            f"""update photo set removed_at = now()
                where user_id = $1 and run_id = $2 and photo_id = $3 and removed_at is null returning {PHOTO}""",  # noqa: S608 # column list of this package
            row.user_id,
            row.run_id,
            row.photo_id,
        )
        if record is None:
            raise PhotoUnknown
        await self._note(connection, before, await self._moment(connection, run), photo_of(record), removed=True)

    async def _submit(self, connection: Connection, row: Submitted) -> None:
        run = await _lock_draft(connection, row.user_id, row.run_id)
        before = await self._moment(connection, run)
        counts = before.counts
        if counts is None or counts.received != row.received or missing(counts, self._minimum):
            raise SetChanged
        at = await connection.fetchval(
            "update run set submitted_at = now() where user_id = $1 and run_id = $2 returning submitted_at",
            row.user_id,
            row.run_id,
        )
        await self._note(connection, before, Moment(replace(run, submitted_at=at), counts), None)

    async def _fold(self, connection: Connection, event: RunEvent) -> None:
        """A fact about a run that we do not know (any more) is nothing to show."""
        try:
            run = await _lock(connection, event.user_id, event.run_id)
        except RunUnknown:
            return
        before = await self._moment(connection, run)
        photo = await _judge(connection, event) if isinstance(event, PhotoJudged) else None
        if isinstance(event, FOLDED):
            run = await _learn(connection, run, event)
        await self._note(connection, before, await self._moment(connection, run), photo)

    async def _moment(self, connection: Connection, run: Run) -> Moment:
        record = await connection.fetchrow(
            f"select {COUNTS} from photo where user_id = $1 and run_id = $2 and removed_at is null",  # noqa: S608 # column list of this package
            run.user_id,
            run.id,
        )
        assert record is not None
        return Moment(run, counts_of(record))

    async def _note(
        self, connection: Connection, before: Moment, after: Moment, photo: Photo | None, *, removed: bool = False
    ) -> None:
        change = change_of(before, after, self._minimum, photo=photo, removed=removed)
        run = after.run
        if change is None or run is None:
            return
        await connection.execute(
            "insert into change (user_id, run_id, seq, kind, data, terminal) values ($1, $2, $3, $4, $5, $6)",
            run.user_id,
            run.id,
            change.seq,
            change.kind,
            change.data,
            change.terminal,
        )
        await connection.execute(
            "update run set seq = $3, over = $4 where user_id = $1 and run_id = $2",
            run.user_id,
            run.id,
            change.seq,
            run.is_over,
        )


async def _key(connection: Connection, user_id: str, key: str) -> KeyTaken | None:
    record = await connection.fetchrow(
        "select run_id, digest from idempotency where user_id = $1 and key = $2", user_id, key
    )
    return KeyTaken(record["run_id"], record["digest"]) if record else None


async def _keep_key(connection: Connection, row: NewRun, key: str) -> None:
    """Two calls at once: the second waits here for the first's commit."""
    kept = await connection.fetchval(
        """insert into idempotency (user_id, key, run_id, digest) values ($1, $2, $3, $4)
           on conflict (user_id, key) do nothing returning 1""",
        row.user_id,
        key,
        row.run_id,
        row.digest,
    )
    if kept is None and (taken := await _key(connection, row.user_id, key)) is not None:
        raise taken
    await connection.execute(
        f"delete from idempotency where user_id = $1 and created_at < now() - interval '{_KEYS_KEPT}'",  # noqa: S608 # a constant of this module
        row.user_id,
    )


async def _lock(connection: Connection, user_id: str, run_id: str) -> Run:
    record = await connection.fetchrow(
        f"select {RUN} from run where user_id = $1 and run_id = $2 for update",  # noqa: S608 # column list of this package
        user_id,
        run_id,
    )
    if record is None:
        raise RunUnknown
    return run_of(record)


async def _lock_draft(connection: Connection, user_id: str, run_id: str) -> Run:
    run = await _lock(connection, user_id, run_id)
    if not run.is_draft:
        raise NotADraft
    return run


async def _learn(connection: Connection, run: Run, event: RunEvent) -> Run:
    at: datetime = await connection.fetchval("select now()")
    facts = run.facts.after(event, at)
    if facts is run.facts:
        return run
    await connection.execute(
        "update run set facts = $3::jsonb, over = $4 where user_id = $1 and run_id = $2",
        run.user_id,
        run.id,
        write_facts(facts),
        facts.end is not None,
    )
    match event:
        case RunRejected():
            await _decide(connection, event)
        case ModelReady():
            await _publish(connection, event)
        case ModelRevoked():
            await _revoke(connection, event)
        case _:
            pass
    return replace(run, facts=facts)


async def _judge(connection: Connection, event: PhotoJudged) -> Photo | None:
    """A verdict of the final decision stays, whenever single ones come."""
    record = await connection.fetchrow(
        f"""update photo set usable = $4, verdicts = $5, similar_to = $6
            where user_id = $1 and run_id = $2 and photo_id = $3 and not decided and removed_at is null
            and (usable, verdicts, similar_to) is distinct from ($4, $5, $6) returning {PHOTO}""",  # noqa: S608 # column list of this package
        event.user_id,
        event.run_id,
        event.photo_id,
        event.usable,
        [verdict.value for verdict in event.verdicts],
        event.similar_to,
    )
    return photo_of(record) if record else None


async def _decide(connection: Connection, event: RunRejected) -> None:
    await connection.executemany(
        """update photo set usable = $4, verdicts = $5, decided = true
           where user_id = $1 and run_id = $2 and photo_id = $3""",
        [
            (event.user_id, event.run_id, photo.photo_id, photo.usable, [verdict.value for verdict in photo.verdicts])
            for photo in event.photos
        ],
    )


async def _publish(connection: Connection, event: ModelReady) -> None:
    await connection.execute(
        """insert into model (user_id, model_id, run_id, version, store_key, weights, bytes, hub_repo, hub_commit)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing""",
        event.user_id,
        event.model_id,
        event.run_id,
        event.version,
        event.store_key,
        event.weights,
        event.bytes,
        event.hub_repo,
        event.hub_commit,
    )


async def _revoke(connection: Connection, event: ModelRevoked) -> None:
    await connection.execute(
        """update model set revoked_at = now(), revoked = $3
           where user_id = $1 and model_id = $2 and revoked_at is null""",
        event.user_id,
        event.model_id,
        event.reason,
    )


async def _dispose(connection: Connection, row: Disposed) -> None:
    await connection.execute(
        "insert into disposal (user_id, run_id, what, objects, bytes, result) values ($1, $2, $3, $4, $5, $6)",
        row.user_id,
        row.run_id,
        row.what,
        row.objects,
        row.bytes,
        row.result,
    )


def _photo(record: asyncpg.Record | None) -> Photo:
    assert record is not None
    return photo_of(record)


__all__: Sequence[str] = ["RowWriter"]
