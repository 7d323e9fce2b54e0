"""The rows of the photos, under row-level security."""

import json
from dataclasses import asdict, replace
from typing import Final

import asyncpg
import structlog

from lifemask.bus.guarding import note
from lifemask.bus.rows import Connection, Rows
from lifemask.contracts import PhotoReceived, RunId, UserId, Verdict, split_version
from lifemask.custody import RowCodes
from lifemask.image_validator.domain.album import Album, Clean, Damaged, Decided, Photo, Terms, gone
from lifemask.image_validator.domain.photo import Kind, Measured

log = structlog.get_logger()

DIFFERS: Final = "stored photo differs"
"""Why the operator is told of a photo, in the table `security`."""
_RECEIVED: Final = split_version(PhotoReceived.ce_type)[0]
_LIKENESS_BYTES = 32

_KEEP = """
insert into photo (user_id, run_id, photo_id, place, measured, faults, original, policy, encoder, likeness, clean,
                   clean_bytes, similar_to, bound, told, removed, code)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
on conflict (user_id, run_id, photo_id) do update
set place = excluded.place, measured = excluded.measured, faults = excluded.faults, original = excluded.original,
    policy = excluded.policy, encoder = excluded.encoder, likeness = excluded.likeness, clean = excluded.clean,
    clean_bytes = excluded.clean_bytes, similar_to = excluded.similar_to, bound = excluded.bound,
    told = excluded.told, removed = excluded.removed, code = excluded.code
"""
_DECIDED = "insert into decided (user_id, run_id) values ($1, $2) on conflict do nothing"


class PostgresPhotos:
    """Reads and writes the rows. One that was written or changed by somebody else counts as not judged."""

    def __init__(self, rows: Rows, codes: RowCodes) -> None:
        self._rows = rows
        self._codes = codes

    async def of_run(self, user_id: UserId, run_id: RunId) -> Album:
        async with self._rows.reading(user_id) as connection:
            rows = await connection.fetch("select * from photo where user_id = $1 and run_id = $2", user_id, run_id)
            decided = await connection.fetchval(
                "select exists (select from decided where user_id = $1 and run_id = $2)", user_id, run_id
            )
        return Album({row["photo_id"]: self._believed(row) for row in rows}, bool(decided))

    async def write(self, connection: Connection, row: object) -> None:
        """Stores a row of the domain inside the finishing transaction."""
        match row:
            case Photo():
                await connection.execute(_KEEP, *_values(row), self._codes.of(*_judgement(row)))
            case Decided(user_id=user_id, run_id=run_id):
                await connection.execute(_DECIDED, user_id, run_id)
            case Damaged(user_id=user_id, run_id=run_id, photo_id=photo_id):
                await note(connection, user_id, run_id, kind=_RECEIVED, content=photo_id, reason=DIFFERS)
            case _:
                raise TypeError(f"no such row: {type(row).__name__}")

    def _believed(self, row: asyncpg.Record) -> Photo:
        photo = _photo(row)
        if self._codes.holds(row["code"], *_judgement(photo)):
            return photo
        log.error("row_changed", run=photo.run_id, photo=photo.photo_id)
        unknown = gone(photo.user_id, photo.run_id, photo.photo_id, photo.place)
        return replace(unknown, faults=(Verdict.UNREADABLE,), bound=False, told=True, removed=False)


def _judgement(photo: Photo) -> tuple[str | int | list[str] | None, ...]:
    """What later steps are told, and what other photos are compared with, in the order of the code."""
    clean, terms = photo.clean, photo.terms
    return (
        "photo",
        photo.user_id,
        photo.run_id,
        photo.photo_id,
        photo.place,
        [verdict.value for verdict in photo.faults],
        photo.original,
        terms.policy if terms else None,
        terms.encoder if terms else None,
        photo.likeness,
        clean.sha256 if clean else None,
        clean.bytes if clean else None,
        photo.similar_to,
        photo.bound,
        photo.removed,
    )


def _values(photo: Photo) -> tuple[object, ...]:
    likeness = None if photo.likeness is None else photo.likeness.to_bytes(_LIKENESS_BYTES, "big")
    clean, clean_bytes = (photo.clean.sha256, photo.clean.bytes) if photo.clean else (None, None)
    return (
        photo.user_id,
        photo.run_id,
        photo.photo_id,
        photo.place,
        json.dumps(asdict(photo.measured)),
        [verdict.value for verdict in photo.faults],
        photo.original,
        photo.terms.policy if photo.terms else None,
        photo.terms.encoder if photo.terms else None,
        likeness,
        clean,
        clean_bytes,
        photo.similar_to,
        photo.bound,
        photo.told,
        photo.removed,
    )


def _photo(row: asyncpg.Record) -> Photo:
    measured = json.loads(row["measured"])
    return Photo(
        user_id=row["user_id"],
        run_id=row["run_id"],
        photo_id=row["photo_id"],
        place=row["place"],
        measured=Measured(**{**measured, "kind": Kind(measured["kind"])}),
        faults=tuple(Verdict(code) for code in row["faults"]),
        original=row["original"],
        terms=None if row["policy"] is None else Terms(row["policy"], row["encoder"]),
        likeness=None if row["likeness"] is None else int.from_bytes(row["likeness"], "big"),
        clean=None if row["clean"] is None else Clean(row["clean"], row["clean_bytes"]),
        similar_to=row["similar_to"],
        bound=row["bound"],
        told=row["told"],
        removed=row["removed"],
    )
