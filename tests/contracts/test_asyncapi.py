"""The AsyncAPI document: fresh, whole, and true about records, keys, groups and who says what."""

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped] # published without type information
from tools.asyncapi import HEADERS, document
from tools.event_schemas import ROOT
from tools.traffic import made_in, traffic

from lifemask.contracts import BY_TYPE, EVENTS, Baton, Envelope, Event, RunCanceled, RunFailed, Topic, new_id, pack

events = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)

FROM_OUTSIDE = {"PhotosUploaded"}


@functools.cache
def described() -> Any:
    """The document, parsed: half a second's work, which whoever runs other tests is spared."""
    return yaml.safe_load(document())


def test_the_committed_document_is_what_the_code_says() -> None:
    assert (ROOT / "contracts" / "asyncapi.yaml").read_text() == document(), "run `make schemas`"


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def at(reference: str) -> Any:
    found = described()
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def check(value: object, reference: str) -> None:
    jsonschema.Draft7Validator({**described(), "$ref": reference}).validate(value)


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(described())):
        assert reference.startswith("#/")
        assert isinstance(at(reference), dict)


def test_every_event_lies_in_the_one_channel_of_its_topic() -> None:
    found = {
        (channel["address"], at(message["$ref"])["name"])
        for channel in described()["channels"].values()
        for message in channel["messages"].values()
    }
    assert found == {(event.topic, event.ce_type) for event in EVENTS} | {(Topic.DEAD_LETTERS, "DeadLetter")}
    assert {channel["bindings"]["kafka"]["partitions"] for channel in described()["channels"].values()} == {64}


@events
def test_a_record_fits_its_message(kind: type[Event]) -> None:
    record = pack(
        kind.example(),
        id=new_id(),
        source="lifemask/test",
        time=datetime.now(UTC),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    message = f"#/components/messages/{kind.__name__}"
    check({name: value.decode() for name, value in record.headers}, f"{message}/headers")
    check(record.key.decode(), f"{message}/bindings/kafka/key")
    [example] = at(message)["examples"]
    check(example["headers"], f"{message}/headers")
    check(example["payload"], f"{message}/payload")
    assert BY_TYPE[example["headers"]["ce_type"]].model_validate(example["payload"]) == kind.example()
    with pytest.raises(jsonschema.ValidationError):
        check({**example["headers"], "ce_type": "lifemask.other.v1"}, f"{message}/headers")


def test_every_header_is_described() -> None:
    full = Envelope("1", "x", "y", datetime.now(UTC), "z", "t")
    assert [name for name, _ in full.headers()] == list(HEADERS)


def test_operations_name_messages_of_their_own_channel() -> None:
    for name, operation in described()["operations"].items():
        channel = operation["channel"]["$ref"]
        assert operation["messages"], name
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"]), name


@pytest.mark.parametrize(
    ("operation", "messages"),
    [
        ("app-send-uploads", {"PhotosUploaded"}),
        ("app-receive-models", {"ModelReady", "ModelRevoked"}),
        ("operator-send-models", {"ModelRevocationRequested"}),
        ("image-validator-receive-photos", {"PhotoReceived", "PhotoRemoved"}),
        ("packager-receive-datasets", {"PhotosValidated"}),
        ("packager-send-datasets", {"DatasetSealed"}),
        ("packager-receive-runs", {"RunCancelRequested"}),
        ("packager-send-runs", {"RunStalled", "RunFailed", "RunCanceled"}),
        ("trainer-receive-trainings", {"TrainingCallbackReceived", "ArchiveFetched"}),
        ("publisher-send-models", {"ModelReady", "ModelRevoked"}),
        ("publisher-receive-models", {"ModelRevocationRequested"}),
        ("trainer-receive-models", {"ModelRevoked"}),
        ("notifier-send-notifications", {"NotificationDelivered"}),
        ("notifier-send-dead-letters", {"DeadLetter"}),
    ],
)
def test_who_says_and_hears_what(operation: str, messages: set[str]) -> None:
    found = described()["operations"][operation]
    assert {message["$ref"].rpartition("/")[2] for message in found["messages"]} == messages
    assert found["action"] == operation.split("-")[-2 if "dead" not in operation else -3]


def test_a_group_is_named_after_its_service() -> None:
    groups = {
        name.partition("-receive-")[0]: operation["bindings"]["kafka"]["groupId"].get("enum")
        for name, operation in described()["operations"].items()
        if operation["action"] == "receive"
    }
    services = ("ingest", "image-validator", "packager", "trainer", "publisher", "notifier")
    assert groups == {"app": None, **{service: [service] for service in services}}


def test_every_event_that_moves_a_run_is_said_by_a_service() -> None:
    said = {event for one in traffic() for event in one.says}
    assert {event for event in EVENTS if event.baton is not Baton.FREE} <= said
    assert not {event.__name__ for event in said} & FROM_OUTSIDE


def test_an_event_is_found_where_it_is_made_and_not_where_it_is_matched(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(
        "match event:\n    case ModelReady(): pass\n"
        "RunFailed(**run)\nRunCanceled.model_validate(fields)\nfacts.of(ModelRevoked)\n"
    )
    assert made_in([file]) == {RunFailed, RunCanceled}
