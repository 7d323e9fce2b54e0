"""Every event: an example that fits, a type with a version, nothing that would identify a photo or a person."""

import json
from datetime import UTC, datetime

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tools.event_schemas import schema

from lifemask.contracts import (
    BY_TYPE,
    CATALOGUE,
    EVENTS,
    BadEnvelope,
    Baton,
    Event,
    Failure,
    FailureCode,
    ModelRevocationRequested,
    Move,
    Record,
    RunEvent,
    RunRequest,
    TrainingParameters,
    UnknownType,
    Verdict,
    new_id,
    pack,
    parse,
    read_envelope,
    sentence,
    split_version,
    user_id,
)
from lifemask.contracts.envelope import Envelope
from lifemask.contracts.failures import Entry
from lifemask.contracts.verdicts import SENTENCES

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
events = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)


@events
def test_an_example_survives_the_journey_through_kafka(kind: type[Event]) -> None:
    event = kind.example()
    record = pack(event, id=new_id(), source="lifemask/test", time=NOW)
    assert parse(record) == event
    assert record.key == event.user_id.encode()


@events
def test_an_example_fits_the_published_schema(kind: type[Event]) -> None:
    jsonschema.validate(json.loads(kind.example().body()), schema(kind))


@events
def test_a_consumer_ignores_unknown_fields_and_a_producer_refuses_them(kind: type[Event]) -> None:
    body = {**kind.example().model_dump(mode="json", exclude_none=True), "new_in_v1_1": 1}
    assert kind.read(json.dumps(body).encode()) == kind.example()
    with pytest.raises(ValidationError):
        kind.model_validate(body)


@events
def test_names_are_versioned_and_described(kind: type[Event]) -> None:
    family, version = split_version(kind.ce_type)
    assert family.startswith("lifemask.")
    assert version >= 1
    assert kind.__doc__
    described = schema(kind)["properties"]
    assert isinstance(described, dict)
    for name, field in described.items():
        assert "description" in field or "$ref" in field, name


@events
def test_events_are_frozen(kind: type[Event]) -> None:
    event = kind.example()
    with pytest.raises(ValidationError):
        event.user_id = "acme.other"  # type: ignore[misc] # this is the point


def test_types_are_unique() -> None:
    assert len(BY_TYPE) == len(EVENTS)


def test_every_run_has_four_ways_to_end_and_four_to_go_on() -> None:
    ends = {kind.__name__ for kind in EVENTS if kind.baton is Baton.ENDS}
    passes = {kind.__name__ for kind in EVENTS if kind.baton is Baton.PASSES}
    assert ends == {"ModelReady", "RunRejected", "RunFailed", "RunCanceled"}
    assert passes == {"RunAccepted", "PhotosValidated", "DatasetSealed", "TrainingSucceeded"}
    assert all(issubclass(kind, RunEvent) for kind in EVENTS if kind.baton is not Baton.FREE)


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_says_what_happened_whose_move_it_is_and_the_next_step(code: FailureCode) -> None:
    entry = CATALOGUE[code]
    assert isinstance(entry, Entry)
    assert entry.what.endswith((".", ")."))
    assert entry.next_step.endswith(".")
    assert entry.move is not Move.NOBODY


def test_a_failure_carries_its_text_with_the_facts_filled_in() -> None:
    failure = Failure.of(FailureCode.TOO_FEW_USABLE, usable=8, received=10, minimum=12, needed=4)
    assert failure.what == "8 of 10 photos can be used, at least 12 are needed."
    assert failure.next_step == (
        "Add 4 more good photos and submit again: this run, started again within 24 hours, keeps its photos."
    )
    with pytest.raises(KeyError):
        Failure.of(FailureCode.TOO_FEW_USABLE)


def test_every_verdict_has_its_sentence_and_unknown_ones_a_general_one() -> None:
    assert set(SENTENCES) == set(Verdict)
    assert sentence("blurry") == "The photo is too blurry. Try daylight and hold the camera still."
    assert sentence("from_a_newer_version") == "This photo cannot be used. Choose another one."


@pytest.mark.parametrize(
    ("headers", "missing"),
    [
        ([], "ce_id"),
        ([("ce_id", b"1")], "ce_source"),
        ([("ce_id", b"1"), ("ce_source", b"x")], "ce_type"),
        ([("ce_id", None), ("ce_source", b"x"), ("ce_type", b"y")], "ce_id"),
        ([("ce_id", b"\xff"), ("ce_source", b"x"), ("ce_type", b"y")], "ce_id"),
    ],
)
def test_a_bad_envelope_is_refused_by_name(headers: list[tuple[str, bytes | None]], missing: str) -> None:
    with pytest.raises(BadEnvelope, match=missing):
        read_envelope(headers)


def test_an_unknown_type_is_named() -> None:
    envelope = Envelope(id="1", source="x", type="lifemask.run.sang.v9")
    with pytest.raises(UnknownType, match=r"lifemask\.run\.sang\.v9"):
        parse(Record(topic="", key=b"", value=b"{}", headers=envelope.headers()))


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@given(name=text, source=text, kind=text, subject=st.none() | text)
def test_an_envelope_reads_back_as_it_was_written(name: str, source: str, kind: str, subject: str | None) -> None:
    envelope = Envelope(id=name, source=source, type=kind, time=NOW, subject=subject)
    assert read_envelope(envelope.headers()) == envelope


@pytest.mark.parametrize(
    ("field", "value", "fits"),
    [
        ("steps", 3, True),
        ("steps", 2, False),
        ("steps", 6000, True),
        ("steps", 6001, False),
        ("rank", 1, True),
        ("rank", 128, True),
        ("rank", 129, False),
        ("learning_rate", "0.0001", True),
        ("learning_rate", "0.00010", False),
        ("learning_rate", "0.1", False),
        ("learning_rate", "0.0", False),
        ("learning_rate", "1e-4", False),
    ],
)
def test_parameters_keep_to_the_trainers_ranges(field: str, value: object, fits: bool) -> None:
    if fits:
        assert getattr(TrainingParameters.model_validate({field: value}), field) == value
    else:
        with pytest.raises(ValidationError):
            TrainingParameters.model_validate({field: value})


@pytest.mark.parametrize("word", ["TOK", "me2", "a_b"])
def test_good_trigger_words(word: str) -> None:
    assert RunRequest(name="x", trigger_word=word).trigger_word == word


@pytest.mark.parametrize("word", ["", "a", "2me", "a b", "é1", "a" * 33, "TOK\n"])
def test_bad_trigger_words(word: str) -> None:
    with pytest.raises(ValidationError):
        RunRequest(name="x", trigger_word=word)


@pytest.mark.parametrize("user", ["a@b.de", "", "a b", "ä", "a/b", "a.b", "x" * 65, "a\n"])
def test_a_user_id_is_no_address_and_no_path(user: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 characters"):
        user_id("acme", user)


def test_new_ids_are_version_7_and_grow() -> None:
    ids = [new_id() for _ in range(3)]
    assert all(one[14] == "7" and one[19] in "89ab" for one in ids)
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)


@pytest.mark.parametrize("reason", ["no", "x" * 501, "ask ann@example.org", "two\nlines", "two\u2028lines", "\x9b31m"])
def test_a_reason_to_revoke_is_one_line_without_an_address(reason: str) -> None:
    asked = ModelRevocationRequested.example().model_dump()
    with pytest.raises(ValidationError):
        ModelRevocationRequested.model_validate(asked | {"reason": reason})
    spoken = "Not the owner's photos: é, 写真."
    assert ModelRevocationRequested.model_validate(asked | {"reason": spoken}).reason == spoken


@pytest.mark.parametrize("actor", ["", "Ann Lee", "ann@example.org", "x" * 65])
def test_an_actor_is_a_name_without_spaces(actor: str) -> None:
    with pytest.raises(ValidationError):
        ModelRevocationRequested.model_validate(ModelRevocationRequested.example().model_dump() | {"actor": actor})
