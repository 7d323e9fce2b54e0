"""What changed between two versions of one JSON Schema that would break somebody. Knows what pydantic generates.

Two things must hold, because events are kept for ever and readers are upgraded when their owners like:

- **Old records**: every record that was ever written fits the new schema, and means what it meant. So a schema may not
  become narrower.
- **Old readers**: whoever reads with the released schema can read all that is written from now on. So a schema may not
  become wider either.

Who writes an event does not matter: an app that publishes `PhotosUploaded` writes by its released schema (old records),
and any service or app may read the topic (old readers). What is left is a new optional field, which old readers ignore
and old records lack, and a new description.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

Schema = Mapping[str, Any]


class Harm(StrEnum):
    """Whom a change breaks."""

    RECORDS = "records that are already written"
    READERS = "readers that have the released version"


@dataclass(frozen=True, slots=True)
class Change:
    """A change that breaks somebody. `field` is the path from the event, for example `photos[].verdicts`."""

    field: str
    what: str
    harm: Harm


_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_INNER: Final = {"items": "[]", "additionalProperties": "{}", "propertyNames": "{} (names)"}
_UNDERSTOOD: Final = frozenset(
    {"type", "enum", "const", "anyOf", "properties", "required", "default", *_LOWER, *_UPPER, *_INNER}
)
_WORDS: Final = frozenset({"$schema", "$id", "$defs", "title", "description", "examples", "deprecated"})
"""Keywords that bind nobody."""


def changes(old: Schema, new: Schema) -> list[Change]:
    """All changes that would break somebody. Raises ValueError for a schema that contains itself."""
    return list(_compare("", expanded(old), expanded(new)))


def expanded(schema: Schema) -> Schema:
    """The schema with every reference replaced by what it names."""
    found: Schema = _expand(schema, schema.get("$defs", {}), ())
    return found


def _expand(part: Any, defs: Mapping[str, Any], above: tuple[str, ...]) -> Any:
    if isinstance(part, list):
        return [_expand(item, defs, above) for item in part]
    if not isinstance(part, Mapping):
        return part
    rest = {key: _expand(value, defs, above) for key, value in part.items() if key not in ("$ref", "$defs")}
    if "$ref" not in part:
        return rest
    name = part["$ref"].rpartition("/")[2]
    if name in above:
        raise ValueError(f"the schema {name} contains itself, which this check does not understand")
    return {**_expand(defs[name], defs, (*above, name)), **rest}


def _compare(field: str, old: Schema, new: Schema) -> Iterator[Change]:
    """A schema is a choice between branches, of one type each; mostly there is one."""
    before, after = _branches(old), _branches(new)
    if before is None or after is None:
        if old != new:
            yield Change(field, "a choice within one type changed", Harm.RECORDS)
        return
    for kind in sorted(before.keys() - after.keys()):
        if not (kind == "integer" and "number" in after):
            yield Change(field, f"the type '{kind}' is not allowed any more", Harm.RECORDS)
    for kind in sorted(after.keys() - before.keys()):
        yield Change(field, f"the type '{kind}' is allowed now", Harm.READERS)
    for kind in sorted(before.keys() & after.keys()):
        yield from _compare_branch(field, before[kind], after[kind])


def _branches(schema: Schema) -> dict[str, Schema] | None:
    """The branches by type; None when two have the same type, which would need more thought than a table."""
    parts = schema.get("anyOf") or [schema]
    found = {str(part.get("type", "anything")): part for part in parts}
    return found if len(found) == len(parts) else None


def _compare_branch(field: str, old: Schema, new: Schema) -> Iterator[Change]:
    yield from _values(field, old, new)
    yield from _bounds(field, old, new)
    yield from _fields(field, old, new)
    for keyword, suffix in _INNER.items():
        if keyword in old and keyword in new:
            yield from _compare(field + suffix, old[keyword], new[keyword])
        elif keyword in old or keyword in new:
            yield from _came_or_went(field, keyword, old, new)
    for keyword in sorted((old.keys() | new.keys()) - _UNDERSTOOD - _WORDS):
        if old.get(keyword) != new.get(keyword):
            yield from _came_or_went(field, keyword, old, new)


def _came_or_went(field: str, keyword: str, old: Schema, new: Schema) -> Iterator[Change]:
    """A condition that cannot be compared, such as a pattern: another one may be narrower and wider at once."""
    if keyword not in new:
        yield Change(field, f"'{keyword}' was removed: {_short(old[keyword])}", Harm.READERS)
    else:
        was = f" (it was {_short(old[keyword])})" if keyword in old else ""
        yield Change(field, f"'{keyword}' is now {_short(new[keyword])}{was}", Harm.RECORDS)


def _values(field: str, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = _allowed(old), _allowed(new)
    if before is None and after is not None:
        yield Change(field, f"only these values are allowed now: {', '.join(map(repr, after))}", Harm.RECORDS)
    elif before is not None and after is None:
        yield Change(field, "any value is allowed now", Harm.READERS)
    elif before is not None and after is not None:
        yield from (
            Change(field, f"the value {value!r} was removed", Harm.RECORDS) for value in before if value not in after
        )
        yield from (
            Change(field, f"the value {value!r} was added", Harm.READERS) for value in after if value not in before
        )


def _allowed(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _bounds(field: str, old: Schema, new: Schema) -> Iterator[Change]:
    for keyword in (*_LOWER, *_UPPER):
        before, after = old.get(keyword), new.get(keyword)
        if before == after:
            continue
        words = f"'{keyword}' is now {after} (it was {before})".replace("None", "absent")
        if before is None or after is None:
            narrower = before is None
        else:
            narrower = after > before if keyword in _LOWER else after < before
        yield Change(field, words, Harm.RECORDS if narrower else Harm.READERS)


def _fields(field: str, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(before.keys() | after.keys()):
        path = f"{field}.{name}".lstrip(".")
        if name not in after:
            yield Change(path, "the field was removed", Harm.RECORDS)
        elif name not in before:
            if name in is_required:
                yield Change(path, "the field is new and required", Harm.RECORDS)
        else:
            yield from _presence(path, name in was_required, name in is_required, before[name], after[name])
            yield from _compare(path, before[name], after[name])


def _presence(path: str, was_required: bool, is_required: bool, old: Schema, new: Schema) -> Iterator[Change]:  # noqa: FBT001 # a table's row
    if is_required and not was_required:
        yield Change(path, "the field is required now", Harm.RECORDS)
    elif was_required and not is_required:
        yield Change(path, "the field may be absent now", Harm.READERS)
    elif not is_required and old.get("default") != new.get("default"):
        was, now = _short(old.get("default")), _short(new.get("default"))
        yield Change(path, f"without it, {now} is meant now (it was {was})", Harm.RECORDS)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
