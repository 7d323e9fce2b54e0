"""The envelope against the CloudEvents SDK: each reads what the other wrote."""

import json
from datetime import UTC, datetime

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from lifemask.contracts import DatasetSealed, Record, new_id, pack, parse, read_envelope

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def test_the_sdk_reads_our_records() -> None:
    event, name = DatasetSealed.example(), new_id()
    record = pack(event, id=name, source="lifemask/packager", time=NOW)
    message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
    read = from_binary(message, JSONFormat(), CloudEvent)
    assert (read.get_id(), read.get_source(), read.get_type()) == (name, "lifemask/packager", event.ce_type)
    assert read.get_subject() == event.run_id
    assert read.get_time() == NOW
    assert read.get_datacontenttype() == "application/json"
    assert read.get_data() == json.loads(event.body())


def test_we_read_the_sdks_records() -> None:
    event, name = DatasetSealed.example(), new_id()
    attributes = {
        "id": name,
        "source": "app/acme",
        "type": event.ce_type,
        "specversion": "1.0",
        "subject": event.run_id,
        "time": NOW,
        "datacontenttype": "application/json",
    }
    written = to_binary(CloudEvent(attributes, json.loads(event.body())), JSONFormat())
    headers = tuple(written.headers.items())
    envelope = read_envelope(headers)
    assert (envelope.id, envelope.source, envelope.subject, envelope.time) == (name, "app/acme", event.run_id, NOW)
    assert isinstance(written.value, bytes)
    record = Record(topic="", key=b"", value=written.value, headers=headers)
    assert parse(record) == event
