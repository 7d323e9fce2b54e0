"""One spelling per value: round trips, refusals, and in-toto's own reader."""

import json
from typing import Any

import pytest
import rfc8785
from google.protobuf.json_format import Parse
from hypothesis import given, settings
from hypothesis import strategies as st
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb
from tests.custody.runs import Run

from lifemask.custody.canonical import NotCanonical, decode, encode, encode_decoded
from lifemask.custody.steps import STEPS, AnyStep

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=6)


@settings(deadline=None)  # a busy machine is no fault
@given(OBJECTS)
def test_what_is_encoded_is_decoded(value: dict[str, Any]) -> None:
    data = encode(value)
    assert decode(data) == value
    assert json.loads(data) == value
    assert encode(dict(reversed(value.items()))) == data
    assert encode_decoded(decode(data)) == data


@settings(deadline=None)  # a busy machine is no fault
@given(OBJECTS)
def test_the_spelling_is_that_of_rfc_8785(value: dict[str, Any]) -> None:
    assert encode(value) == rfc8785.dumps(value)


@settings(deadline=None)  # a busy machine is no fault
@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_no_other_spelling_is_decoded(value: dict[str, Any], ascii_only: bool, indent: int | None, order: bool) -> None:
    other = json.dumps(value, ensure_ascii=ascii_only, indent=indent, sort_keys=order).encode()
    if other != encode(value):
        with pytest.raises(NotCanonical):
            decode(other)


@settings(deadline=None)  # a busy machine is no fault
@given(st.binary(max_size=40))
def test_rubbish_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        value = decode(data)
    except NotCanonical:
        return
    assert encode(value) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":NaN}',
        b'{"a":-0}',
        b'{"a":01}',
        b'{"a":9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1,"a":1}',
        b'{"b":{"a":1,"a":2}}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\\u0041"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":"\\/"}',
        b'{"a":' * 5000,
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900 + b" ",
    ],
)
def test_other_spellings_are_refused(data: bytes) -> None:
    with pytest.raises(NotCanonical):
        decode(data)


@pytest.mark.parametrize("value", [{"a": 1.5}, {"a": [1.0]}, {"a": 2**53}, {"a": "\ud800"}, {"a": float("nan")}])
def test_values_without_a_spelling_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(NotCanonical):
        encode(value)


def test_the_order_is_by_utf16_as_rfc_8785_says() -> None:
    assert encode({"\U0001f600": 1, "\ufb33": 2, "a": 3}) == '{"a":3,"\U0001f600":1,"\ufb33":2}'.encode()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_in_totos_own_reader_takes_every_statement(ann: Run, step: AnyStep) -> None:
    payload = await ann.payload(step)
    read = Statement.copy_from_pb(Parse(payload, StatementPb()))
    read.validate()
    assert read.pb.type == "https://in-toto.io/Statement/v1"
    assert read.pb.predicate_type == f"https://lifemask.dev/custody/{step.name}/v1"
    subjects = {subject.name: subject.digest["sha256"] for subject in read.pb.subject}
    assert subjects == {subject["name"]: subject["digest"]["sha256"] for subject in json.loads(payload)["subject"]}
    assert dict(read.pb.predicate)["run"] == ann.run
