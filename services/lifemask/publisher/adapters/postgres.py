"""The publications' rows. A state goes forward only: every statement says which states it may leave."""

from typing import Any

import asyncpg

from lifemask.bus.rows import Connection, Rows
from lifemask.contracts import RunId, UserId
from lifemask.publisher.domain import (
    Checked,
    Intended,
    Known,
    Publication,
    Published,
    Revocation,
    Revoked,
    Revoking,
    State,
    Withdrawing,
    Withdrawn,
    model_of,
)

_INTENDED = """
insert into publication (user_id, run_id, model_id, state, repo) values ($1, $2, $3, 'intended', $4)
on conflict (user_id, run_id) do update set repo = excluded.repo
where publication.state = 'intended' and publication.place = ''
"""
_CHECKED = """
update publication set place = $3, repo = $4, hub_commit = $5, changed_at = now()
where user_id = $1 and run_id = $2 and state = 'intended' and place = ''
"""
_PUBLISHED = """
update publication set state = 'published', changed_at = now()
where user_id = $1 and run_id = $2 and state = 'intended'
"""
_WITHDRAWING = """
insert into publication (user_id, run_id, model_id, state) values ($1, $2, $3, 'withdrawing')
on conflict (user_id, run_id) do update set state = 'withdrawing', changed_at = now()
where publication.state = 'intended'
"""
_WITHDRAWN = """
update publication set state = 'withdrawn', changed_at = now()
where user_id = $1 and run_id = $2 and state = 'withdrawing'
"""
_REVOKING = """
update publication set state = 'revoking', revoked_because = $3, revoked_by = $4, changed_at = now()
where user_id = $1 and run_id = $2 and state in ('intended', 'published')
"""
_REVOKED = """
update publication set state = 'revoked', changed_at = now()
where user_id = $1 and run_id = $2 and state = 'revoking'
"""


class PostgresPublications:
    """Reads the rows that `write_row` stores."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def find(self, user_id: UserId, run_id: RunId) -> Known | None:
        async with self._rows.reading(user_id) as connection:
            row = await connection.fetchrow(
                "select * from publication where user_id = $1 and run_id = $2", user_id, run_id
            )
        return _known(row) if row else None


async def write_row(connection: Connection, row: object) -> None:
    """Stores a row of the domain inside the finishing transaction."""
    await connection.execute(*_statement(row))


def _statement(row: object) -> tuple[Any, ...]:
    match row:
        case Intended(publication=place):
            return _INTENDED, place.user_id, place.run_id, place.model_id, place.repo
        case Checked(publication=place):
            return _CHECKED, place.user_id, place.run_id, place.place, place.repo, place.hub_commit
        case Published(user_id=user_id, run_id=run_id):
            return _PUBLISHED, user_id, run_id
        case Withdrawing(user_id=user_id, run_id=run_id, model_id=model_id):
            return _WITHDRAWING, user_id, run_id, model_id
        case Withdrawn(user_id=user_id, run_id=run_id):
            return _WITHDRAWN, user_id, run_id
        case Revoking(user_id=user_id, run_id=run_id, revocation=Revocation(reason=reason, actor=actor)):
            return _REVOKING, user_id, run_id, reason, actor
        case Revoked(user_id=user_id, run_id=run_id):
            return _REVOKED, user_id, run_id
    raise TypeError(f"no such row: {type(row).__name__}")


def _known(row: asyncpg.Record) -> Known:
    """Model and repository are named after the run, whatever the row says: what is removed is never another's."""
    user_id, run_id, model_id = row["user_id"], row["run_id"], model_of(row["user_id"], row["run_id"])
    repo = row["repo"] and row["repo"][: -len(model_id)] + model_id
    publication = Publication(user_id, run_id, model_id, row["place"], repo, row["hub_commit"])
    revocation = Revocation(row["revoked_because"], row["revoked_by"]) if row["revoked_by"] else None
    return Known(publication, State(row["state"]), revocation)
