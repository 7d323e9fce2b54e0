"""`parse` takes the records of every client as they come."""

from collections.abc import Callable

import pytest
from aiokafka import ConsumerRecord
from confluent_kafka import Message
from pydantic import ValidationError

from lifemask.contracts import BadEnvelope, ModelReady, Record, UnknownType, parse
from lifemask.contracts.envelope import AnyRecord, Envelope

READY = ModelReady.example()
HEADERS = Envelope(id="1", source="lifemask/publisher", type=READY.ce_type).headers()
UNKNOWN = Envelope(id="1", source="x", type="lifemask.run.sang.v9").headers()


def of_aiokafka(headers: object, value: bytes | None) -> AnyRecord:
    record: AnyRecord = ConsumerRecord("t", 0, 0, 0, 0, b"k", value, None, 1, 1, headers)
    return record


def of_confluent(headers: object, value: bytes | None) -> AnyRecord:
    return Message(topic="t", partition=0, offset=0, key=b"k", value=value, headers=list(headers) if headers else None)  # type: ignore[call-overload] # headers of a test are anything


def of_ours(headers: object, value: bytes | None) -> AnyRecord:
    return Record(topic="t", key=b"k", value=value, headers=headers)  # type: ignore[arg-type] # likewise


Make = Callable[[object, bytes | None], AnyRecord]
clients = pytest.mark.parametrize("record", [of_aiokafka, of_confluent, of_ours])


@clients
def test_an_event_is_read(record: Make) -> None:
    assert parse(record(HEADERS, READY.body())) == READY


@clients
def test_what_is_no_event_of_ours_says_why(record: Make) -> None:
    with pytest.raises(BadEnvelope, match="ce_id"):
        parse(record((), READY.body()))
    with pytest.raises(UnknownType, match=r"lifemask\.run\.sang\.v9"):
        parse(record(UNKNOWN, b"{}"))
    with pytest.raises(ValidationError):
        parse(record(HEADERS, None))
    with pytest.raises(ValidationError):
        parse(record(HEADERS, b'{"user_id": 3}'))
