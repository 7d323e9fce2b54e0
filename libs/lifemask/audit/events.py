"""The events of a run against its chain: who signed them, and whether they name the statements that are there. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lifemask.audit.case import Case, SeenRecord
from lifemask.audit.findings import Finding, State, broken
from lifemask.audit.links import Chained
from lifemask.audit.rows import NAMED_BY
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

CHAINED: Final = tuple(NAMED_BY)
"""Types that name a statement; a log that has them all is whole enough for an audit."""


def judge_events(case: Case, chained: Chained, trusted: EventKeys) -> tuple[Finding, ...]:
    """A finding for each record that does not hold, and one for each place with how many do."""
    problems: list[Finding] = []
    sound: Counter[str] = Counter()
    for seen in case.records or ():
        found = _judge(case, chained, trusted, seen)
        problems += found
        sound[seen.where] += not found
    counted = tuple(
        Finding(where, State.AGREES, what=f"{count} signed events that fit the chain")
        for where, count in sorted(sound.items())
        if count
    )
    return (*problems, *counted, *_missing(case))


def _missing(case: Case) -> Iterator[Finding]:
    if case.records is None:
        return
    there = {_type_of(seen) for seen in case.records}
    for each in CHAINED:
        if each not in there:
            yield Finding(each, State.UNSEEN, why="neither outboxes nor the log that was read have it any more")


def _judge(case: Case, chained: Chained, trusted: EventKeys, seen: SeenRecord) -> list[Finding]:
    name = f"{seen.where}: {_type_of(seen)} {seen.id[:12]}"
    if _type_of(seen) == PhotosUploaded.ce_type:  # an app's own key, which is not in the keyring
        return []
    try:
        event = verify(seen.record, trusted, seen.at)
    except NotAuthentic as problem:
        return [broken(name, problem.reason.value)]
    except (BadEnvelope, UnknownType, ValidationError) as problem:
        return [broken(name, f"cannot be read: {type(problem).__name__}")]
    if not seen.record.topic.endswith(event.topic.value):
        return [broken(name, "kept for another topic", event.topic.value, seen.record.topic)]
    if (ce_id := read_envelope(seen.record.headers).id) != seen.id:
        return [broken(name, "kept under another id", ce_id, seen.id)]
    wrong = {
        each: (expected, getattr(event, each, None))
        for each, expected in _expected(case, chained, event).items()
        if getattr(event, each, None) != expected
    }
    return [broken(f"{name}: {each}", "differs from the chain", *both) for each, both in wrong.items()]


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
