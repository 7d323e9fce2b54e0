"""The events of a run against its chain: who signed them, and whether they name the statements that are there. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lifemask.audit.case import Case, SeenRecord
from lifemask.audit.findings import Finding, State, broken
from lifemask.audit.links import Chained
from lifemask.audit.rows import NAMED_BY
from lifemask.audit.uploads import read_upload
from lifemask.bus.inbound import identity
from lifemask.contracts import (
    BadEnvelope,
    DatasetSealed,
    Event,
    ModelReady,
    PhotoReceived,
    PhotosUploaded,
    PhotosValidated,
    RunAccepted,
    RunEvent,
    TrainingSucceeded,
    UnknownType,
    read_envelope,
)
from lifemask.contracts.event import ValidationError
from lifemask.contracts.signing import EventKeys, NotAuthentic, verify
from lifemask.custody import CustodyBroken
from lifemask.custody.statements import Owner, read_owner
from lifemask.custody.steps import DATASET, PUBLICATION, UPLOAD, VALIDATION, WEIGHTS
from lifemask.custody.verify import Place
from lifemask.keys.holders import HOLDERS

CHAINED: Final = tuple(NAMED_BY)
"""Types that name a statement; a log that has them all is whole enough for an audit."""


def judge_events(case: Case, chained: Chained, trusted: EventKeys) -> tuple[Finding, ...]:
    """A finding for each record that does not hold, and one for each place with how many do."""
    findings: list[Finding] = []
    sound: Counter[str] = Counter()
    for seen in case.records or ():
        found = _judge(case, chained, trusted, seen)
        findings += found or ()
        sound[seen.where] += found == []
    counted = tuple(
        Finding(where, State.AGREES, what=f"{count} signed events that fit the chain")
        for where, count in sorted(sound.items())
        if count
    )
    return (*findings, *counted, *_missing(case))


def _missing(case: Case) -> Iterator[Finding]:
    """What a run's events must have left behind, until it is old: each in its emitter's outbox."""
    if case.records is None:
        return
    there = {(_type_of(seen), seen.where) for seen in case.records if seen.record.key == case.user.encode()}
    for kind, step in NAMED_BY.items():
        emitter = next(holder for holder, may in HOLDERS.items() if step.name in may.steps)
        if kind not in {name for name, _ in there}:
            yield Finding(kind, State.UNSEEN, why="neither outboxes nor the log that was read have it any more")
        elif (kind, f"outbox of {emitter}") not in there:
            yield Finding(f"outbox of {emitter}: {kind}", State.UNSEEN, why="it is not there any more")


def _judge(case: Case, chained: Chained, trusted: EventKeys, seen: SeenRecord) -> list[Finding] | None:
    """What is to be said of a record; nothing when it fits the chain; None when it is of another run."""
    name = f"{seen.where}: {_type_of(seen)} {seen.id[:12]}"
    try:
        event, doubt = _read(case, trusted, seen)
    except NotAuthentic as problem:
        return [broken(name, problem.reason.value)]
    except (BadEnvelope, UnknownType, ValidationError) as problem:
        return [broken(name, f"cannot be read: {type(problem).__name__}")]
    if misplaced := _misplaced(name, seen, event):
        return [misplaced]
    if not _is_ours(case, event):  # it is kept in its own place, and names this run by chance or on purpose
        return None
    found = {**dict(event), **_as_sealed(event)}
    wrong = {
        each: (expected, found.get(each))
        for each, expected in _expected(case, chained, event).items()
        if found.get(each) != expected
    }
    if wrong:
        return [broken(f"{name}: {each}", "differs from the chain", *both) for each, both in wrong.items()]
    return [Finding(name, State.UNSEEN, why=doubt)] if doubt else []


def _read(case: Case, trusted: EventKeys, seen: SeenRecord) -> tuple[Event, str]:
    """The event, and why it is not certain who signed it."""
    if _type_of(seen) == PhotosUploaded.ce_type:
        return read_upload(case, seen)
    return verify(seen.record, trusted, seen.at), ""


def _misplaced(name: str, seen: SeenRecord, event: Event) -> Finding | None:
    """The columns of its row say what it says itself."""
    envelope = read_envelope(seen.record.headers)
    if not seen.record.topic.endswith(event.topic.value):
        return broken(name, "kept for another topic", event.topic.value, seen.record.topic)
    if envelope.id != seen.id:
        return broken(name, "kept under another id", envelope.id, seen.id)
    kept = seen.kept_as
    if kept is None:
        return None
    own = identity(envelope.source, envelope.id)
    if kept["msg_id"] not in {own, identity(own, seen.record.value.hex())}:  # the second: an id that was used twice
        return broken(name, "kept under another id", own, kept["msg_id"])
    if kept["type"] != envelope.type:
        return broken(name, "kept as another type", envelope.type, kept["type"])
    if kept["run_id"] not in {envelope.subject, getattr(event, "run_id", None)}:
        return broken(name, "kept for another run", envelope.subject, kept["run_id"])
    return None


def _is_ours(case: Case, event: Event) -> bool:
    """Run ids are the apps' own choice: one of another user may be the same."""
    return getattr(event, "user_id", case.user) == case.user and getattr(event, "run_id", case.run) == case.run


def _as_sealed(event: Event) -> Mapping[str, str]:
    if isinstance(event, PhotosUploaded):
        return {"request": hashlib.sha256(event.request.model_dump_json().encode()).hexdigest()}
    return {}


def _expected(case: Case, chained: Chained, event: Event) -> Mapping[str, object]:
    """What the chain says of the event's fields."""
    expected: dict[str, object] = {"user_id": case.user}
    if isinstance(event, RunEvent):
        expected["run_id"] = case.run
    step = NAMED_BY.get(event.ce_type)
    link = chained.link(step) if step else None
    if link is not None:
        expected["statement"] = link.digest
    return {**expected, **_contents(case, chained, event)}


def _contents(case: Case, chained: Chained, event: Event) -> Mapping[str, Any]:
    upload, validation, dataset = chained.link(UPLOAD), chained.link(VALIDATION), chained.link(DATASET)
    weights, publication = chained.link(WEIGHTS), chained.link(PUBLICATION)
    match event:
        case RunAccepted() if upload:
            return {"photos": upload.fields.count, "door": upload.fields.door}
        case PhotosUploaded() if upload:
            return {"request": upload.manifest.request}
        case PhotoReceived() if upload:
            return _photo(case, chained, event)
        case PhotosValidated() if validation:
            return {"received": validation.fields.received, "usable": validation.fields.usable}
        case DatasetSealed() if dataset:
            return {"photos": dataset.fields.members, "bytes": dataset.fields.bytes}
        case TrainingSucceeded() if weights:
            return {"attempt": case.attempt, "training": weights.fields.training, "bytes": weights.fields.bytes}
        case ModelReady() if publication:
            return {
                "model_id": publication.fields.model,
                "version": publication.fields.version,
                "weights": publication.subject,
                "store_key": publication.manifest.store_key,
                "hub_repo": publication.manifest.repo,
                "hub_commit": publication.fields.hub_commit,
            }
    return {}


def _photo(case: Case, chained: Chained, event: PhotoReceived) -> Mapping[str, Any]:
    """A photo of the sealed set was announced with the commitment to its bytes."""
    upload = chained.link(UPLOAD)
    photo = next((one for one in upload.manifest.photos if one.id == event.photo_id), None) if upload else None
    owner = _owner(case)
    if photo is None or owner is None:  # it was taken out before the set was sealed
        return {}
    return {"bytes": photo.bytes, "commitment": owner.commitment(photo.sha256)}


def _owner(case: Case) -> Owner | None:
    file = case.custody.get(Place(case.user, case.run).owner)
    try:
        return read_owner(file) if isinstance(file, bytes) else None
    except CustodyBroken:
        return None


def _type_of(seen: SeenRecord) -> str:
    try:
        return read_envelope(seen.record.headers).type
    except BadEnvelope:
        return "(no event)"
