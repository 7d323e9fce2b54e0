"""What an audit says of events: who signed them, whether their rows say the same, and what is not there."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.audit.world import a_case
from tests.custody.runs import AT, BOB, Run, sealed

from lifemask.audit.case import Case, SeenRecord
from lifemask.audit.events import judge_events
from lifemask.audit.findings import Finding, State
from lifemask.audit.links import judge_links
from lifemask.audit.problems import Unreachable
from lifemask.audit.uploads import read_apps
from lifemask.bus.inbound import identity
from lifemask.contracts import DatasetSealed, Event, PhotosUploaded, Record, new_id
from lifemask.contracts.signing import Signer, sign
from lifemask.testkit.events import an_event
from lifemask.testkit.keys import app_signer, signed, signing_keys, test_keys

APPS = {"acme": [app_signer("acme").public]}


def found_in(case: Case, *seen: SeenRecord, **changes: Any) -> list[Finding]:
    """What is said of these records."""
    case = replace(case, records=seen, **changes)
    findings = judge_events(case, judge_links(case, test_keys().keyring, AT), test_keys().keyring)
    return [one for one in findings if one.name.partition(":")[0] in {each.where for each in seen}]


def states(*found: Finding) -> list[State]:
    return [one.state for one in found if not (one.state is State.UNSEEN and one.name.startswith("outbox"))]


def in_inbox(
    event: Event, record: Record | None = None, columns: Mapping[str, str | None] = MappingProxyType({})
) -> SeenRecord:
    """The event as an inbox keeps it."""
    record = record or signed(event, id="e1")
    headers = dict(record.headers)
    source, ce_id, kind = (headers[name].decode() for name in ("ce_source", "ce_id", "ce_type"))
    kept: dict[str, str | None] = {
        "msg_id": identity(source, ce_id),
        "type": kind,
        "run_id": getattr(event, "run_id", None),
    }
    return SeenRecord("inbox of ingest", ce_id, AT, record, kept | dict(columns))


def dataset_of(made: Run, **changes: object) -> DatasetSealed:
    values: Mapping[str, object] = {
        "user_id": made.user,
        "run_id": made.run,
        "photos": 12,
        "bytes": 60,
        "statement": made.digests["dataset"],
    }
    return an_event(DatasetSealed, **{**values, **changes})


def upload_of(made: Run) -> PhotosUploaded:
    return an_event(PhotosUploaded, user_id=made.user, run_id=made.run)


async def unsealed() -> tuple[Run, Case]:
    """A run whose chain nobody can read: only the events speak."""
    made = await sealed()
    return made, replace(await a_case(made), custody={})


async def test_an_upload_is_verified_with_the_keys_of_the_apps_file() -> None:
    made, case = await unsealed()
    upload = in_inbox(upload_of(made))
    assert states(*found_in(case, upload, apps=APPS)) == [State.AGREES]
    for apps in (None, {}, {"acme": [Signer.generate("acme").public]}):
        [said] = found_in(case, upload, apps=apps)
        assert (said.state, "apps file" in said.why) == (State.UNSEEN, True)


@pytest.mark.parametrize("apps", [None, APPS])
async def test_rubbish_in_the_name_of_an_app_is_broken(apps: Mapping[str, list[bytes]] | None) -> None:
    made, case = await unsealed()
    upload = upload_of(made)
    record = signed(upload, id="e1")
    unsigned = record._replace(headers=tuple(pair for pair in record.headers if pair[0] != "ce_signature"))
    foreign = signed(upload, id="e1", source="app/evil")
    for wrong in (unsigned, record._replace(value=b"rubbish"), foreign, record._replace(key=BOB.encode())):
        assert states(*found_in(case, in_inbox(upload, wrong), apps=apps)) == [State.BROKEN]


async def test_a_forged_upload_is_broken_where_the_apps_key_is_known() -> None:
    made, case = await unsealed()
    upload = upload_of(made)
    record = signed(upload, id="e1")
    other = record._replace(value=record.value.replace(b'"objects":["', b'"objects":["x'))
    assert other.value != record.value
    assert states(*found_in(case, in_inbox(upload, other), apps=APPS)) == [State.BROKEN]


async def test_an_upload_must_wish_what_was_sealed() -> None:
    made = await sealed()
    [said] = found_in(await a_case(made), in_inbox(upload_of(made)), apps=APPS)
    assert (said.state, said.name.endswith("request")) == (State.BROKEN, True)


async def test_an_event_fits_when_its_row_says_the_same() -> None:
    made = await sealed()
    case = await a_case(made)
    event = dataset_of(made)
    assert states(*found_in(case, in_inbox(event))) == [State.AGREES]
    twice = identity(identity("lifemask/packager", "e1"), event.body().hex())
    assert states(*found_in(case, in_inbox(event, columns={"msg_id": twice}))) == [State.AGREES]


@pytest.mark.parametrize("column", ["msg_id", "type", "run_id"])
async def test_a_row_that_says_something_else_than_its_event_is_broken(column: str) -> None:
    made = await sealed()
    case = await a_case(made)
    for value in (new_id(), None):
        assert states(*found_in(case, in_inbox(dataset_of(made), columns={column: value}))) == [State.BROKEN]


async def test_an_event_whose_subject_was_changed_is_broken() -> None:
    made = await sealed()
    record = signed(dataset_of(made), id="e1")
    other = tuple((name, new_id().encode() if name == "ce_subject" else value) for name, value in record.headers)
    seen = SeenRecord("outbox of packager", "e1", AT, record._replace(headers=other))
    assert states(*found_in(await a_case(made), seen)) == [State.BROKEN]


async def test_an_event_of_another_run_that_names_this_one_says_nothing() -> None:
    """A stranger's app may choose the same run id, or name this run anywhere."""
    made = await sealed()
    case = await a_case(made)
    same_id = dataset_of(made, user_id=BOB)
    assert found_in(case, in_inbox(same_id)) == []
    record = signed(an_event(PhotosUploaded, user_id="evil.one", run_id=new_id(), upload=made.run), id="e1")
    evil = an_event(PhotosUploaded, user_id="evil.one", run_id=dict(record.headers)["ce_subject"].decode())
    assert found_in(case, in_inbox(evil, sign(record, app_signer("evil")))) == []


async def test_an_event_that_its_emitter_does_not_have_is_missed() -> None:
    made = await sealed()
    case = await a_case(made)
    elsewhere = replace(case, records=[in_inbox(dataset_of(made))])
    there = replace(case, records=[replace(in_inbox(dataset_of(made)), where="outbox of packager", kept_as=None)])
    name = f"outbox of packager: {DatasetSealed.ce_type}"
    for one, missed in ((elsewhere, True), (there, False)):
        findings = judge_events(one, judge_links(one, test_keys().keyring, AT), test_keys().keyring)
        assert (name in {each.name for each in findings if each.state is State.UNSEEN}) is missed


def test_the_apps_file_gives_the_keys_of_each_app(tmp_path: Path) -> None:
    path = tmp_path / "apps.json"
    path.write_text(json.dumps({"acme": {"key_sha256": "0" * 64, "signing_keys": signing_keys("acme")}, "b": {}}))
    assert read_apps(path) == {"acme": [base64.b64decode(signing_keys("acme")[0])], "b": []}
    for wrong in ("[]", "{", '{"a": 1}', '{"a": {"signing_keys": ["%"]}}'):
        path.write_text(wrong)
        with pytest.raises(Unreachable):
            read_apps(path)
    with pytest.raises(Unreachable):
        read_apps(tmp_path / "none.json")
