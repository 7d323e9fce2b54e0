"""What ingest keeps in PostgreSQL, read; each read is a short transaction of one user."""

from collections.abc import Sequence

from lifemask.bus.rows import Rows
from lifemask.ingest.adapters.records import COUNTS, MODEL, PHOTO, RUN, counts_of, model_of, photo_of, run_of
from lifemask.ingest.domain.changes import Change
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.runs import Counts, Run
from lifemask.ingest.domain.targets import Slot
from lifemask.ingest.ports import Model

_COUNTED = f"""
    select r.*, c.* from (select {RUN} from run where {{where}}) r
    cross join lateral (
        select {COUNTS} from photo p
        where p.user_id = r.user_id and p.run_id = r.run_id and p.removed_at is null
    ) c
"""  # noqa: S608 # column lists of this package, no input


class PostgresRuns:
    """The port `Runs` on the service's own schema."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def run(self, user_id: str, run_id: str) -> Run | None:
        found = await self.counted(user_id, run_id)
        return found[0] if found else None

    async def counted(self, user_id: str, run_id: str) -> tuple[Run, Counts] | None:
        async with self._rows.reading(user_id) as connection:
            record = await connection.fetchrow(_COUNTED.format(where="user_id = $1 and run_id = $2"), user_id, run_id)
        return (run_of(record), counts_of(record)) if record else None

    async def page(self, user_id: str, before: str | None, limit: int) -> Sequence[tuple[Run, Counts]]:
        where = "user_id = $1 and ($2::text is null or run_id < $2) order by run_id desc limit $3"
        async with self._rows.reading(user_id) as connection:
            records = await connection.fetch(
                _COUNTED.format(where=where) + " order by r.run_id desc", user_id, before, limit
            )
        return [(run_of(record), counts_of(record)) for record in records]

    async def photos(self, user_id: str, run_id: str) -> Sequence[Photo]:
        async with self._rows.reading(user_id) as connection:
            records = await connection.fetch(
                f"select {PHOTO} from photo where user_id = $1 and run_id = $2 and removed_at is null order by place",  # noqa: S608 # column list of this package
                user_id,
                run_id,
            )
        return [photo_of(record) for record in records]

    async def changes(self, user_id: str, run_id: str, after: int, limit: int) -> Sequence[Change]:
        async with self._rows.reading(user_id) as connection:
            records = await connection.fetch(
                """select seq, kind, data, terminal from change
                   where user_id = $1 and run_id = $2 and seq > $3 order by seq limit $4""",
                user_id,
                run_id,
                min(after, 2**31 - 1),
                limit,
            )
        return [Change(record["seq"], record["kind"], record["data"], record["terminal"]) for record in records]

    async def models(self, user_id: str, before: str | None, limit: int) -> Sequence[Model]:
        async with self._rows.reading(user_id) as connection:
            records = await connection.fetch(
                f"""select {MODEL} from model where user_id = $1 and ($2::text is null or model_id < $2)
                    order by model_id desc limit $3""",  # noqa: S608 # column list of this package
                user_id,
                before,
                limit,
            )
        return [model_of(record) for record in records]

    async def model(self, user_id: str, model_id: str) -> Model | None:
        async with self._rows.reading(user_id) as connection:
            record = await connection.fetchrow(
                f"select {MODEL} from model where user_id = $1 and model_id = $2",  # noqa: S608 # column list of this package
                user_id,
                model_id,
            )
        return model_of(record) if record else None

    async def is_active(self, user_id: str) -> bool:
        async with self._rows.reading(user_id) as connection:
            return bool(
                await connection.fetchval(
                    "select exists (select from run where user_id = $1 and submitted_at is not null and not over)",
                    user_id,
                )
            )

    async def open_runs(self, user_id: str) -> int:
        async with self._rows.reading(user_id) as connection:
            return int(await connection.fetchval("select count(*) from run where user_id = $1 and not over", user_id))

    async def open_slots(self, user_id: str, run_id: str) -> Sequence[Slot]:
        async with self._rows.reading(user_id) as connection:
            records = await connection.fetch(
                """select user_id, run_id, photo_id, sha256, bytes, media_type
                   from slot join run using (user_id, run_id)
                   where user_id = $1 and run_id = $2 and done_at is null and submitted_at is null and not over
                   order by photo_id""",
                user_id,
                run_id,
            )
        return [Slot(**record) for record in records]

    async def taker(self, user_id: str, upload: str) -> str | None:
        async with self._rows.reading(user_id) as connection:
            run_id: str | None = await connection.fetchval(
                "select run_id from run where user_id = $1 and upload = $2", user_id, upload
            )
        return run_id

    async def is_copied(self, user_id: str, run_id: str) -> bool:
        """Locks the run as `Restarted` does, so that this comes before or after a restart and never beside it."""
        async with self._rows.reading(user_id, locks=True) as connection:
            new = await connection.fetchval(
                "select restarted_as from run where user_id = $1 and run_id = $2 for update", user_id, run_id
            )
            return bool(
                await connection.fetchval(
                    """select exists (select from run join photo using (user_id, run_id)
                                      where user_id = $1 and run_id = $2 and not over
                                        and not here and removed_at is null)""",
                    user_id,
                    new,
                )
            )

    async def keyed(self, user_id: str, key: str) -> tuple[str, str] | None:
        async with self._rows.reading(user_id) as connection:
            record = await connection.fetchrow(
                "select run_id, digest from idempotency where user_id = $1 and key = $2", user_id, key
            )
        return (record["run_id"], record["digest"]) if record else None
