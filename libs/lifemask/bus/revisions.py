"""Which migrations a database should have, read from their files: alembic takes half a second only to be loaded."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg

from lifemask.bus.rows import Connection

_NAMES: Final = ("revision", "down_revision", "depends_on")


async def is_current(connection: Connection, schema: str, folders: Sequence[Path]) -> bool:
    """Whether `schema` was brought to exactly the newest migrations in `folders`. In doubt False: alembic will know."""
    newest = newest_in(folders)
    try:
        found = await connection.fetch(f"select version_num from {schema}.migration")  # noqa: S608  one of our schemas
    except asyncpg.UndefinedTableError:
        return False
    return newest is not None and {row["version_num"] for row in found} == newest


def newest_in(folders: Sequence[Path]) -> set[str] | None:
    """The revisions that no other one follows; None when that is not plain: a merge, a dependency, a computed name."""
    known, followed = set[str](), set[str]()
    for file in (file for folder in folders for file in folder.glob("*.py") if file.name != "__init__.py"):
        written = _written_in(file)
        if not isinstance(written.get("revision"), str) or written.get("depends_on") is not None:
            return None
        known.add(written["revision"])
        match written.get("down_revision", ...):
            case str(before):
                followed.add(before)
            case None:
                pass
            case _:
                return None
    return known - followed


def _written_in(file: Path) -> dict[str, Any]:
    """The constants that alembic reads, as far as they are plain literals."""
    found = dict[str, Any]()
    for statement in ast.parse(file.read_bytes()).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value))
            ) if name in _NAMES:
                found[name] = value
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name in _NAMES:
                found[name] = ...  # there, but computed
            case _:
                pass
    return found
