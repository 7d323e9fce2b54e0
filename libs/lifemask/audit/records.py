"""Reads what the services keep in PostgreSQL, with the operator's DSN: all schemas, nothing is written.

The role must see all users' rows (a superuser, or one with BYPASSRLS); one that does not gets an error, never less.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from lifemask.audit.case import Row, SeenRecord
from lifemask.audit.problems import Unreachable
from lifemask.bus.inbound import headers_bytes
from lifemask.bus.roles import SERVICES, schema_of
from lifemask.bus.rows import Connection
from lifemask.contracts import BadEnvelope, ModelReady, Record, read_envelope

_TABLES: Final = {
    "ingest.run": "select * from ingest.run where user_id = $1 and run_id = $2",
    "ingest.photo": "select * from ingest.photo where user_id = $1 and run_id = $2 and removed_at is null",
    "ingest.model": "select * from ingest.model where user_id = $1 and run_id = $2",
    "ingest.disposal": "select * from ingest.disposal where user_id = $1 and run_id = $2 order by number",
    "image_validator.photo": "select * from image_validator.photo where user_id = $1 and run_id = $2",
    "trainer.attempt": "select * from trainer.attempt where user_id = $1 and run_id = $2 order by number",
    "trainer.provider_training": "select * from trainer.provider_training where user_id = $1 and run_id = $2",
    "publisher.publication": "select * from publisher.publication where user_id = $1 and run_id = $2",
}
_LOCATE: Final = """
select user_id, run_id from ingest.model where model_id = $1
union select user_id, run_id from publisher.publication where model_id = $1
"""


@dataclass(frozen=True, slots=True)
class Located:
    """Whose model it is, and of which run."""

    user: str
    run: str


@asynccontextmanager
async def open_database(dsn: str) -> AsyncIterator[Connection]:
    """One snapshot of the whole database, read only. Raises Unreachable."""
    settings = {"default_transaction_read_only": "on", "row_security": "off"}
    try:
        connection = await asyncpg.connect(dsn, server_settings=settings, timeout=10)
    except (OSError, asyncpg.PostgresError, TimeoutError) as problem:
        raise Unreachable("PostgreSQL", _reason(problem)) from None
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    except asyncpg.InsufficientPrivilegeError:
        raise Unreachable("PostgreSQL", "its role may not see all users' rows; take the one that migrates") from None
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedColumnError):
        raise Unreachable(
            "PostgreSQL", "its tables are of another version, or not there: run `lifemask migrate`"
        ) from None
    finally:
        await connection.close()


async def locate(connection: Connection, model: str) -> tuple[Located, ...]:
    """The runs that a model is said to be of; more than one is wrong."""
    return tuple(Located(row["user_id"], row["run_id"]) for row in await connection.fetch(_LOCATE, model))


async def read_rows(connection: Connection, located: Located) -> Mapping[str, Sequence[Row]]:
    """Every row about the run that an audit compares, by schema and table."""
    who = (located.user, located.run)
    return {table: [dict(row) for row in await connection.fetch(query, *who)] for table, query in _TABLES.items()}


_MENTIONED: Final = "(position(convert_to($1, 'UTF8') in value) > 0 or strpos(headers::text, $1) > 0)"
"""Selects by what the record itself says, so that one whose columns were changed does not drop out."""


async def read_records(connection: Connection, located: Located) -> list[SeenRecord]:
    """The events that name the run, in whatever place, as outboxes and inboxes still have them."""
    found: list[SeenRecord] = []
    for service in SERVICES:
        schema = schema_of(service)
        said = await connection.fetch(
            f"select msg_id, topic, key, value, headers, created_at from {schema}.outbox where {_MENTIONED}",  # noqa: S608 # a name of ours
            located.run,
        )
        found += [
            SeenRecord(f"outbox of {service}", row["msg_id"], row["created_at"], _record(row, row["key"]))
            for row in said
        ]
        got = await connection.fetch(
            f"""select msg_id, type, topic, user_id, run_id, value, headers, got_at from {schema}.inbox
                where run_id = $1 or {_MENTIONED}""",  # noqa: S608 # a name of ours
            located.run,
        )
        found += [
            SeenRecord(f"inbox of {service}", id_of(record), row["got_at"], record, _kept_as(row))
            for row, record in ((row, _record(row, row["user_id"] or "")) for row in got)
            if not _is_reminder(record)
        ]
    return found


def mentions(record: Record, run: str) -> bool:
    """Whether a record names the run, in whatever place."""
    name = run.encode()
    return name in record.value or any(name in value for _, value in record.headers)


def _kept_as(row: asyncpg.Record) -> Mapping[str, str | None]:
    return {"msg_id": row["msg_id"], "type": row["type"], "run_id": row["run_id"]}


def _is_reminder(record: Record) -> bool:
    """A service's note to itself. An event stays one, whatever its row says of its topic."""
    return record.topic == "reminder" and not type_of(record)


def when_told(rows: Mapping[str, Sequence[Row]], records: Sequence[SeenRecord], user: str) -> datetime | None:
    """When ingest's database got the news of the model: it had seen the last statement's digest by then."""
    times = [
        seen.at
        for seen in records
        if seen.where == "inbox of ingest"
        and type_of(seen.record) == ModelReady.ce_type
        and seen.record.key == user.encode()
    ]
    return min(times, default=None) or next((row["ready_at"] for row in rows.get("ingest.model", ())), None)


def id_of(record: Record) -> str:
    """The event's id."""
    try:
        return read_envelope(record.headers).id
    except BadEnvelope:
        return ""


def type_of(record: Record) -> str:
    """The event's type."""
    try:
        return read_envelope(record.headers).type
    except BadEnvelope:
        return ""


def _record(row: asyncpg.Record, key: str) -> Record:
    headers = tuple((name, value or b"") for name, value in headers_bytes(row["headers"]))
    return Record(row["topic"], key.encode(), row["value"], headers)


def _reason(problem: BaseException) -> str:
    return str(problem).partition("\n")[0] or type(problem).__name__
