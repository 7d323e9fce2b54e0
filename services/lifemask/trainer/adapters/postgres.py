"""The attempts' rows. Every change says from which states it may happen; what costs money is recorded in any."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from lifemask.bus.outcomes import Retryable
from lifemask.bus.rows import Connection, Rows
from lifemask.contracts import FailureCode
from lifemask.trainer.domain.attempt import (
    OVER,
    Abandon,
    Adopt,
    Advance,
    Ask,
    Attempt,
    AttemptId,
    Bill,
    Book,
    Claim,
    CloseCount,
    CopyFailed,
    Doubt,
    End,
    Fetched,
    Forgotten,
    Intend,
    KnownTraining,
    ListedClean,
    Plan,
    Spot,
    State,
    StopRun,
    Withdraw,
    sources,
)

Statement = tuple[str, tuple[Any, ...]]

_MINE: Final = "where user_id = $1 and run_id = $2 and number = $3"
_INTEND: Final = """
insert into attempt (user_id, run_id, number, state, trainer, dataset, archive_key, archive_url, url_expires_at,
    gateway, steps, lora_rank, learning_rate, estimated_cost_usd, photos, archive_bytes, seen_at)
values ($1, $2, $3, 'intended', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
on conflict (user_id, run_id, number) do nothing
"""
_MOVE: Final = f"""
update attempt set state = $4, changed_at = now(),
    statement = coalesce($6, statement), training = coalesce($7, training), version = coalesce($8, version),
    doubted_at = case when $4 = 'unknown' then now() else doubted_at end,
    started_at = case when $4 = 'running' then now() else started_at end,
    ended_at = case when $9 then now() end
{_MINE} and state = any($5::text[])
"""  # noqa: S608 - built of constants
_STOP: Final = "update attempt set stop = true, changed_at = now() where user_id = $1 and run_id = $2 and not stop"
_FORGOTTEN: Final = """
update attempt set forgotten_at = now(), changed_at = now()
where user_id = $1 and run_id = $2 and forgotten_at is null
"""
_ADVANCE: Final = f"update attempt set percent = $4, changed_at = now() {_MINE} and percent < $4"  # noqa: S608 - likewise
_LISTED: Final = f"""
update attempt set clean_listings = clean_listings + 1, clean_since = coalesce(clean_since, now()) {_MINE}
"""  # noqa: S608 - likewise
_ASKED: Final = f"update attempt set asked = true, changed_at = now() {_MINE}"  # noqa: S608 - likewise
_FETCHED: Final = f"update attempt set fetches = fetches + 1, changed_at = now() {_MINE} and not fetches_closed"  # noqa: S608
_CLOSED: Final = f"update attempt set fetches_closed = true, changed_at = now() {_MINE}"  # noqa: S608 - likewise
_NOT_COPIED: Final = f"update attempt set copy_failures = copy_failures + 1, changed_at = now() {_MINE}"  # noqa: S608
_KNOW: Final = """
insert into provider_training (user_id, run_id, attempt, training) values ($1, $2, $3, $4)
on conflict (user_id, training) do nothing
"""
_BOOK: Final = """
insert into provider_training (user_id, run_id, attempt, training, ended_as, seconds, cost_usd, booked_at)
values ($1, $2, $3, $4, $5, $6, $7, now())
on conflict (user_id, training) do update
set ended_as = excluded.ended_as, seconds = excluded.seconds, cost_usd = excluded.cost_usd, booked_at = now()
where provider_training.booked_at is null
"""


class PostgresAttempts:
    """Reads the rows that `write_row` stores."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def of_run(self, user_id: str, run_id: str) -> Sequence[Attempt]:
        async with self._rows.reading(user_id) as connection:
            rows = await connection.fetch(
                "select * from attempt where user_id = $1 and run_id = $2 order by number", user_id, run_id
            )
            trainings = await connection.fetch(
                "select attempt, training, booked_at is not null as booked from provider_training "
                "where user_id = $1 and run_id = $2 order by found_at, training",
                user_id,
                run_id,
            )
        return [_attempt(row, [each for each in trainings if each["attempt"] == row["number"]]) for row in rows]


async def write_row(connection: Connection, row: object) -> None:
    """Stores a change. Raises Retryable when a claim fails, or an attempt is not unknown any more."""
    for sql, values in _statements(row):
        done = await connection.execute(sql, *values)
        if isinstance(row, Claim | Abandon) and done != "UPDATE 1":
            raise Retryable(FailureCode.TRAINING_UNKNOWN)


def _statements(row: object) -> Iterable[Statement]:
    match row:
        case Intend(id=mine, plan=plan):
            return [(_INTEND, (*mine, *_columns(plan)))]
        case StopRun(user_id=user_id, run_id=run_id):
            return [(_STOP, (user_id, run_id))]
        case Forgotten(user_id=user_id, run_id=run_id):
            return [(_FORGOTTEN, (user_id, run_id))]
        case Claim(id=mine, statement=statement):
            return [_move(mine, State.CREATING, statement=statement)]
        case Withdraw(id=mine):
            return [_move(mine, State.INTENDED)]
        case Abandon(id=mine):
            return [_move(mine, State.ABANDONED, before=[State.UNKNOWN])]
        case Doubt(id=mine):
            return [_move(mine, State.UNKNOWN)]
        case Adopt(id=mine, training=training):
            return [(_KNOW, (*mine, training)), _move(mine, State.RUNNING, training=training)]
        case End(id=mine, to=to, bill=bill, version=version):
            return [_move(mine, to, version=version), *_booking(mine, bill)]
    return [_fact(row)]


def _fact(row: object) -> Statement:
    match row:
        case Spot(id=mine, training=training):
            return _KNOW, (*mine, training)
        case Advance(id=mine, percent=percent):
            return _ADVANCE, (*mine, percent)
        case ListedClean(id=mine):
            return _LISTED, tuple(mine)
        case Ask(id=mine):
            return _ASKED, tuple(mine)
        case Fetched(id=mine):
            return _FETCHED, tuple(mine)
        case CloseCount(id=mine):
            return _CLOSED, tuple(mine)
        case CopyFailed(id=mine):
            return _NOT_COPIED, tuple(mine)
        case Book(id=mine, bill=bill):
            return _booking(mine, bill)[0]
    raise TypeError(f"no such row: {type(row).__name__}")


def _move(
    mine: AttemptId,
    to: State,
    *,
    before: Iterable[State] | None = None,
    statement: str | None = None,
    training: str | None = None,
    version: str | None = None,
) -> Statement:
    return _MOVE, (*mine, to, sorted(before or sources(to)), statement, training, version, to in OVER)


def _booking(mine: AttemptId, bill: Bill | None) -> list[Statement]:
    if bill is None:
        return []
    return [(_BOOK, (*mine, bill.training, bill.ended_as, bill.seconds, bill.cost))]


def _columns(plan: Plan) -> tuple[Any, ...]:
    return (
        plan.trainer,
        plan.dataset,
        plan.archive_key,
        plan.archive_url,
        plan.url_expires_at,
        plan.gateway,
        plan.steps,
        plan.rank,
        plan.learning_rate,
        plan.estimated_cost,
        plan.photos,
        plan.archive_bytes,
        plan.seen_at,
    )


def _attempt(row: asyncpg.Record, trainings: Iterable[asyncpg.Record]) -> Attempt:
    return Attempt(
        id=AttemptId(row["user_id"], row["run_id"], row["number"]),
        state=State(row["state"]),
        plan=Plan(
            trainer=row["trainer"],
            dataset=row["dataset"],
            archive_key=row["archive_key"],
            archive_url=row["archive_url"],
            url_expires_at=row["url_expires_at"],
            gateway=row["gateway"],
            steps=row["steps"],
            rank=row["lora_rank"],
            learning_rate=row["learning_rate"],
            estimated_cost=row["estimated_cost_usd"],
            photos=row["photos"],
            archive_bytes=row["archive_bytes"],
            seen_at=row["seen_at"],
        ),
        intended_at=row["intended_at"],
        stop=row["stop"],
        statement=row["statement"],
        training=row["training"],
        version=row["version"],
        percent=row["percent"],
        doubted_at=row["doubted_at"],
        clean_listings=row["clean_listings"],
        clean_since=row["clean_since"],
        asked=row["asked"],
        fetches=row["fetches"],
        copy_failures=row["copy_failures"],
        trainings=tuple(KnownTraining(each["training"], booked=each["booked"]) for each in trainings),
    )
