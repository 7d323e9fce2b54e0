"""Every table of every service as PostgreSQL's catalog knows it, so that a new one is tried by itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lifemask.bus.rows import Connection
from lifemask.bus.tables import BUS

OF_THE_BUS: Final = frozenset(re.findall(r"create table (\w+)", BUS)) | {"migration"}
"""Tables of every schema that see all users; every other one is a domain table."""

_COLUMNS: Final = """
    select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required,
           attidentity <> '' as given, atthasdef as has_default,
           (select string_agg(pg_get_constraintdef(c.oid), ' ' order by cardinality(c.conkey), c.conname)
            from pg_constraint c where c.conrelid = attrelid and c.contype = 'c' and attnum = any(c.conkey)) as checks
    from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum
"""
_KEYS: Final = """
    select conname as name, contype::text as kind, confrelid::regclass::text as other,
           (select array_agg(attname::text order by place) from unnest(conkey) with ordinality as k (number, place)
            join pg_attribute on attrelid = conrelid and attnum = k.number) as columns,
           (select array_agg(attname::text order by place) from unnest(confkey) with ordinality as k (number, place)
            join pg_attribute on attrelid = confrelid and attnum = k.number) as referenced
    from pg_constraint where conrelid = $1::text::regclass and contype in ('p', 'u', 'f')
    union all
    select indexrelid::regclass::text, 'i', null,
           array[(select attname::text from pg_attribute where attrelid = indrelid and attnum = indkey[0])], null
    from pg_index where indrelid = $1::text::regclass and indisunique
"""
_VALUES: Final[dict[str, Any]] = {
    "text": "x",
    "integer": 1,
    "bigint": 1,
    "numeric": 1,
    "boolean": False,
    "jsonb": "{}",
    "bytea": b"x",
    "text[]": [],
}


@dataclass(frozen=True, slots=True)
class Key:
    """A primary (p), unique (u), or foreign (f) key, or a unique index (i, its first column alone)."""

    name: str
    kind: str
    columns: tuple[str, ...]
    other: str | None
    referenced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its name with the schema, a row that its columns and checks accept, and its keys."""

    name: str
    row: dict[str, Any]
    keys: tuple[Key, ...]

    @property
    def primary(self) -> tuple[str, ...]:
        """The columns of its primary key."""
        return next(key.columns for key in self.keys if key.kind == "p")

    def insert(self, **changes: Any) -> tuple[str, Sequence[Any]]:
        """The statement that stores the row with these changes, and its values."""
        row = {**self.row, **changes}
        places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        return f"insert into {self.name} ({', '.join(row)}) values ({places})", tuple(row.values())


async def tables_of(connection: Connection, schema: str) -> dict[str, str]:
    """Names with the schema, by plain name."""
    found = await connection.fetch("select tablename::text from pg_tables where schemaname = $1 order by 1", schema)
    return {record["tablename"]: f"{schema}.{record['tablename']}" for record in found}


async def domain_tables(connection: Connection, schema: str, user: str) -> list[Table]:
    """The schema's domain tables, each with a row of `user`."""
    names = {plain: name for plain, name in (await tables_of(connection, schema)).items() if plain not in OF_THE_BUS}
    return [await _table(connection, name, user) for name in names.values()]


async def _table(connection: Connection, name: str, user: str) -> Table:
    columns = await connection.fetch(_COLUMNS, name)
    needed = [each for each in columns if each["required"] and not each["given"] and not each["has_default"]]
    row = {each["name"]: await _value(connection, each) for each in needed} | {"user_id": user}
    keys = [
        Key(each["name"], each["kind"], tuple(each["columns"]), each["other"], tuple(each["referenced"] or ()))
        for each in await connection.fetch(_KEYS, name)
    ]
    return Table(name, row, tuple(keys))


async def _value(connection: Connection, column: Any) -> Any:
    """A value of the column's type; of a column that takes certain words only, the first of them."""
    if word := re.search(r"ARRAY\['([^']*)'", column["checks"] or ""):
        return word[1]
    if column["type"].startswith("timestamp"):
        return await connection.fetchval("select now()")
    return _VALUES[column["type"].partition("(")[0]]
