"""Which changes of an event are allowed and which are refused, as tables."""

from pathlib import Path
from typing import Any

import pytest
from tools.compatibility import CannotRelease, Refusal, last_release, present, refusals, release
from tools.schema_changes import Change, Harm, changes

RECORDS, READERS = Harm.RECORDS, Harm.READERS
Json = dict[str, Any]


def event(required: str = "", **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": required.split()}


TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
MAYBE: Json = {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "default": None}


def colours(*names: str) -> Json:
    return {"type": "string", "enum": list(names)}


def words(item: Json, **bounds: int) -> Json:
    return {"type": "array", "items": item, **bounds}


ALLOWED = {
    "nothing": (event("a", a=TEXT), event("a", a=TEXT)),
    "a new optional field": (event("a", a=TEXT), event("a", a=TEXT, b={**NUMBER, "default": 3})),
    "a new optional field that may be null": (event("a", a=TEXT), event("a", a=TEXT, b=MAYBE)),
    "another description": (event(a={**TEXT, "description": "x"}), event(a={**TEXT, "description": "y"})),
    "other examples and title": (event(a={**TEXT, "examples": [1]}), event(a={**TEXT, "title": "A"})),
    "another order": (event("a b", a=TEXT, b=NUMBER), event("b a", b=NUMBER, a=TEXT)),
    "another order of values": (event(a=colours("x", "y")), event(a=colours("y", "x"))),
    "one value as const": (event(a=colours("x")), event(a={"type": "string", "const": "x"})),
    "another name of a part": (
        {"$defs": {"A": TEXT}, **event(a={"$ref": "#/$defs/A"})},
        {"$defs": {"B": TEXT}, **event(a={"$ref": "#/$defs/B"})},
    ),
}


@pytest.mark.parametrize(("old", "new"), ALLOWED.values(), ids=ALLOWED.keys())
def test_allowed(old: Json, new: Json) -> None:
    assert changes(old, new) == []


def one(old: Json, new: Json, harm: Harm, field: str = "a") -> tuple[Json, Json, list[tuple[str, Harm]]]:
    return event("a", a=old), event("a", a=new), [(field, harm)]


REFUSED = {
    "a field removed": (event("a b", a=TEXT, b=TEXT), event("a", a=TEXT), [("b", RECORDS)]),
    "an optional field removed": (event("a", a=TEXT, b=MAYBE), event("a", a=TEXT), [("b", RECORDS)]),
    "a field renamed": (event("a", a=TEXT), event("b", b=TEXT), [("a", RECORDS), ("b", RECORDS)]),
    "a new required field": (event("a", a=TEXT), event("a b", a=TEXT, b=TEXT), [("b", RECORDS)]),
    "a field required now": (event(a=TEXT), event("a", a=TEXT), [("a", RECORDS)]),
    "a field optional now": (event("a", a=TEXT), event(a=TEXT), [("a", READERS)]),
    "another default": (event(a={**NUMBER, "default": 1}), event(a={**NUMBER, "default": 2}), [("a", RECORDS)]),
    "another type": (*one(TEXT, NUMBER, RECORDS)[:2], [("a", RECORDS), ("a", READERS)]),
    "an integer becomes a number": one(NUMBER, {"type": "number"}, READERS),
    "a number becomes an integer": (*one({"type": "number"}, NUMBER, RECORDS)[:2], [("a", RECORDS), ("a", READERS)]),
    "null is allowed now": one({"type": "string", "maxLength": 9}, MAYBE, READERS),
    "null is not allowed any more": one(MAYBE, {"type": "string", "maxLength": 9}, RECORDS),
    "a bound inside a choice": one(MAYBE, {"anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}]}, RECORDS),
    "a value removed": one(colours("x", "y"), colours("x"), RECORDS),
    "a value added": one(colours("x"), colours("x", "y"), READERS),
    "values listed now": one(TEXT, colours("x"), RECORDS),
    "values free now": one(colours("x"), TEXT, READERS),
    "a const becomes another": (
        *one({"type": "string", "const": "x"}, {"type": "string", "const": "y"}, RECORDS)[:2],
        [("a", RECORDS), ("a", READERS)],
    ),
    "a lower maximum": one({**NUMBER, "maximum": 9}, {**NUMBER, "maximum": 8}, RECORDS),
    "a higher maximum": one({**NUMBER, "maximum": 9}, {**NUMBER, "maximum": 10}, READERS),
    "a higher minimum": one({**NUMBER, "minimum": 1}, {**NUMBER, "minimum": 2}, RECORDS),
    "a lower minimum": one({**NUMBER, "minimum": 1}, {**NUMBER, "minimum": 0}, READERS),
    "a minimum where none was": one(NUMBER, {**NUMBER, "minimum": 0}, RECORDS),
    "no minimum any more": one({**NUMBER, "minimum": 0}, NUMBER, READERS),
    "a lower maxLength": one({**TEXT, "maxLength": 9}, {**TEXT, "maxLength": 8}, RECORDS),
    "a higher minItems": one(words(TEXT, minItems=1), words(TEXT, minItems=2), RECORDS),
    "another pattern": one({**TEXT, "pattern": "^a$"}, {**TEXT, "pattern": "^b$"}, RECORDS),
    "a pattern where none was": one(TEXT, {**TEXT, "pattern": "^a$"}, RECORDS),
    "no pattern any more": one({**TEXT, "pattern": "^a$"}, TEXT, READERS),
    "a keyword that is not understood": one(TEXT, {**TEXT, "format": "date"}, RECORDS),
    "an item's value removed": one(words(colours("x", "y")), words(colours("x")), RECORDS, "a[]"),
    "a dictionary's values": one(
        {"type": "object", "additionalProperties": {**TEXT, "maxLength": 9}},
        {"type": "object", "additionalProperties": {**TEXT, "maxLength": 8}},
        RECORDS,
        "a{}",
    ),
    "a field of a part": (
        {"$defs": {"P": event("b", b=TEXT)}, **event("a", a=words({"$ref": "#/$defs/P"}))},
        {"$defs": {"P": event("b", b={**TEXT, "maxLength": 3})}, **event("a", a=words({"$ref": "#/$defs/P"}))},
        [("a[].b", RECORDS)],
    ),
    "a choice within one type": one(
        {"anyOf": [{**TEXT, "pattern": "x"}, {**TEXT, "pattern": "y"}]},
        {"anyOf": [{**TEXT, "pattern": "x"}, {**TEXT, "pattern": "z"}]},
        RECORDS,
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(old: Json, new: Json, expected: list[tuple[str, Harm]]) -> None:
    assert [(change.field, change.harm) for change in changes(old, new)] == expected


def test_a_schema_that_contains_itself_is_not_judged() -> None:
    node = {"$defs": {"N": event(a={"$ref": "#/$defs/N"})}, "$ref": "#/$defs/N"}
    with pytest.raises(ValueError, match="N contains itself"):
        changes(node, node)


TOPIC = {"x-topic": "lifemask.runs", "x-key": "user_id"}
V1 = {"lifemask.run.sang.v1": {**TOPIC, **event("a", a=TEXT)}}


def test_a_new_version_beside_the_old_one_is_allowed() -> None:
    assert refusals(V1, {**V1, "lifemask.run.sang.v2": {**TOPIC, **event("b", b=NUMBER)}}) == []


@pytest.mark.parametrize(
    ("new", "what"),
    [
        ({}, "the event was removed"),
        ({"lifemask.run.sang.v2": V1["lifemask.run.sang.v1"]}, "the event was removed"),
        ({"lifemask.run.sang.v1": {**V1["lifemask.run.sang.v1"], "x-topic": "lifemask.songs"}}, "its topic is now"),
        ({"lifemask.run.sang.v1": {**V1["lifemask.run.sang.v1"], "x-key": "run_id"}}, "its key is now"),
    ],
)
def test_an_event_stays_where_it_is(new: dict[str, Json], what: str) -> None:
    [refusal] = refusals(V1, new)
    assert (refusal.event, refusal.harm) == ("lifemask.run.sang.v1", RECORDS)
    assert refusal.what.startswith(what)


def test_a_refusal_names_event_and_field_and_says_what_to_do() -> None:
    change = Change("failure.category", "the value 'timeout' was removed", RECORDS)
    assert str(Refusal("lifemask.run.failed.v1", change.field, change.what, change.harm)) == (
        "lifemask.run.failed.v1, failure.category: the value 'timeout' was removed. This breaks records that are "
        "already written. Take the change back, or leave this event as it is and add lifemask.run.failed.v2 beside it."
    )
    assert "--readers-first" in str(Refusal("lifemask.run.failed.v1", "", "x", READERS))


def test_the_code_keeps_what_was_released() -> None:
    last = last_release()
    assert last
    assert [str(refusal) for refusal in refusals(last[1], present())] == []


def test_releases_are_kept_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert last_release(tmp_path) is None
    for version in ("0.2.0", "0.9.0", "0.10.0"):
        release(version, V1, tmp_path)
    assert last_release(tmp_path) == ("0.10.0", V1)
    for version in ("0.10.0", "0.9.1", "1.0"):
        with pytest.raises(CannotRelease, match=r"raise the version|three numbers"):
            release(version, V1, tmp_path)


def test_a_breaking_release_is_refused_unless_readers_go_first(tmp_path: Path) -> None:
    release("0.1.0", V1, tmp_path)
    wider = {"lifemask.run.sang.v1": {**TOPIC, **event(a=TEXT)}}
    narrower = {"lifemask.run.sang.v1": {**TOPIC, **event("a", a={**TEXT, "maxLength": 3})}}
    with pytest.raises(CannotRelease, match="--readers-first"):
        release("0.2.0", wider, tmp_path)
    with pytest.raises(CannotRelease, match=r"records that are already written"):
        release("0.2.0", narrower, tmp_path, readers_first=True)
    assert last_release(tmp_path) == ("0.1.0", V1)
    release("0.2.0", wider, tmp_path, readers_first=True)
    assert last_release(tmp_path) == ("0.2.0", wider)
