"""Rows beside a run's own that a fact changes: verdicts on photos, published and withdrawn models."""

from lifemask.bus.rows import Connection
from lifemask.contracts import ModelReady, ModelRevoked, PhotoJudged, RunEvent, RunRejected
from lifemask.ingest.adapters.records import PHOTO, photo_of
from lifemask.ingest.domain.photos import Photo


async def keep_consequences(connection: Connection, event: RunEvent) -> None:
    """Stores what a new fact means beyond the run's own row."""
    match event:
        case RunRejected():
            await _decide(connection, event)
        case ModelReady():
            await _publish(connection, event)
        case ModelRevoked():
            await _revoke(connection, event)
        case _:
            pass


async def judge(connection: Connection, event: PhotoJudged) -> Photo | None:
    """A verdict of the final decision stays, whenever single ones come."""
    record = await connection.fetchrow(
        f"""update photo set usable = $4, verdicts = $5, similar_to = $6
            where user_id = $1 and run_id = $2 and photo_id = $3 and not decided and removed_at is null
            and (usable, verdicts, similar_to) is distinct from ($4, $5, $6) returning {PHOTO}""",  # noqa: S608 # column list of this package
        event.user_id,
        event.run_id,
        event.photo_id,
        event.usable,
        list(event.codes),
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
