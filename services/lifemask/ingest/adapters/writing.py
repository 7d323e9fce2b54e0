"""What ingest keeps in PostgreSQL, written: inside the transaction that also stores the events.

Each writer locks the run's row first, so that folds, uploads and submissions of one run come one after the other,
whichever process they run in, and each change of the view gets the next number.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import asyncpg

from lifemask.bus.guarding import note
from lifemask.bus.rows import Connection
from lifemask.contracts import PhotoJudged, RunEvent
from lifemask.ingest.adapters.consequences import judge, keep_consequences
from lifemask.ingest.adapters.idempotency import keep_key, known_key
from lifemask.ingest.adapters.records import COUNTS, PHOTO, RUN, counts_of, photo_of, run_of, write_facts
from lifemask.ingest.adapters.restarts import insert_restarted
from lifemask.ingest.adapters.slots import close_slot, open_slots
from lifemask.ingest.domain.changes import Moment, change_of
from lifemask.ingest.domain.facts import FOLDED
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.rows import (
    Disposed,
    NewPhoto,
    NewRun,
    NewSlots,
    NewUpload,
    NotADraft,
    PhotoHere,
    PhotoUnknown,
    RemovedPhoto,
    Restarted,
    RunFull,
    RunUnknown,
    SameFile,
    Seen,
    SetChanged,
    SlotDone,
    Submitted,
    Suspicious,
)
from lifemask.ingest.domain.runs import Run, missing


class RowWriter:
    """The service's one writer. `minimum` is how many usable photos a run needs."""

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum

    async def __call__(self, connection: Connection, row: object) -> None:
        match row:
            case NewRun():
                await self._begin(connection, row)
            case NewUpload():
                await self._begin_upload(connection, row)
            case Restarted():
                await self._begin_again(connection, row)
            case NewPhoto() | PhotoHere() | RemovedPhoto():
                await self._change_photos(connection, row)
            case Submitted(by_itself=True):
                with suppress(NotADraft, SetChanged):
                    await self._submit(connection, row)
            case Submitted():
                await self._submit(connection, row)
            case Seen(event):
                await self._fold(connection, event)
            case _:
                await _keep_beside(connection, row)

    async def _change_photos(self, connection: Connection, row: NewPhoto | PhotoHere | RemovedPhoto) -> None:
        match row:
            case NewPhoto(door="kafka"):
                await self._take_over(connection, row)
            case NewPhoto():
                await self._add(connection, row)
            case PhotoHere():
                await self._arrive(connection, row)
            case RemovedPhoto():
                await self._remove(connection, row)

    async def _begin(self, connection: Connection, row: NewRun) -> None:
        if row.key is not None and (taken := await known_key(connection, row.user_id, row.key)) is not None:
            raise taken
        await connection.execute(
            "insert into run (user_id, run_id, request) values ($1, $2, $3) on conflict do nothing",
            row.user_id,
            row.run_id,
            row.request,
        )
        run = await _lock(connection, row.user_id, row.run_id)
        if row.key is not None:
            await keep_key(connection, row, row.key)
        await self._note(connection, Moment(None, None), await self._moment(connection, run), None)

    async def _begin_upload(self, connection: Connection, row: NewUpload) -> None:
        """An upload belongs to the run that named it first."""
        new = await connection.fetchval(
            """insert into run (user_id, run_id, request, submitted_at, upload, objects, content)
               values ($1, $2, $3, now(),
                       case when not exists (select from run where user_id = $1 and upload = $4) then $4 end, $5, $6)
               on conflict (user_id, run_id) do nothing returning 1""",
            row.user_id,
            row.run_id,
            row.request,
            row.upload,
            row.objects,
            row.content,
        )
        if new:
            run = await _lock(connection, row.user_id, row.run_id)
            await self._note(connection, Moment(None, None), await self._moment(connection, run), None)

    async def _begin_again(self, connection: Connection, row: Restarted) -> None:
        earlier = await _lock(connection, row.user_id, row.restarted_from)
        await insert_restarted(connection, earlier, row)
        run = await _lock(connection, row.user_id, row.run_id)
        await self._note(connection, Moment(None, None), await self._moment(connection, run), None)

    async def _arrive(self, connection: Connection, row: PhotoHere) -> None:
        """A photo that was taken out meanwhile, or a run that is over, has nothing to show of it."""
        run = await _lock(connection, row.user_id, row.run_id)
        before = await self._moment(connection, run)
        record = await connection.fetchrow(
            f"""update photo set here = true
                where user_id = $1 and run_id = $2 and photo_id = $3 and not here and removed_at is null
                returning {PHOTO}""",  # noqa: S608 # column list of this package
            row.user_id,
            row.run_id,
            row.photo_id,
        )
        if record is not None:
            await self._note(connection, before, await self._moment(connection, run), photo_of(record))

    async def _take_over(self, connection: Connection, row: NewPhoto) -> None:
        run = await _lock(connection, row.user_id, row.run_id)
        if not run.facts.slots:
            with suppress(SameFile, RunFull):
                await self._store(connection, run, row)

    async def _add(self, connection: Connection, row: NewPhoto) -> None:
        await self._store(connection, await _lock_draft(connection, row.user_id, row.run_id), row)

    async def _store(self, connection: Connection, run: Run, row: NewPhoto) -> None:
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
            f"""insert into photo (user_id, run_id, photo_id, sha256, bytes, media_type, door)
                values ($1, $2, $3, $4, $5, $6, $7) returning {PHOTO}""",  # noqa: S608 # column list of this package
            row.user_id,
            row.run_id,
            row.photo_id,
            row.sha256,
            row.bytes,
            row.media_type,
            row.door,
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
        if counts is None or counts.received != row.received or counts.coming or missing(counts, self._minimum):
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
        photo = await judge(connection, event) if isinstance(event, PhotoJudged) else None
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


async def _keep_beside(connection: Connection, row: object) -> None:
    """Rows that change nothing of what is seen of a run."""
    match row:
        case NewSlots():
            await _lock_draft(connection, row.user_id, row.run_id)
            await open_slots(connection, row)
        case SlotDone():
            await close_slot(connection, row)
        case Disposed():
            await _dispose(connection, row)
        case Suspicious():
            await note(connection, row.user_id, row.run_id, kind=row.kind, content=row.content, reason=row.reason)
        case _:
            raise TypeError(f"ingest has no table for {type(row).__name__}")


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
    await keep_consequences(connection, event)
    return replace(run, facts=facts)


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
