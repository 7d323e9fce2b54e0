"""What the services keep in PostgreSQL about a run and its model, against the chain. Pure.

Compared are the columns that say whose it is, what it is, and how it is linked: ids, digests, counts, states.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from lifemask.audit.acts import Acts
from lifemask.audit.case import Case, Row
from lifemask.audit.findings import Finding, broken, compared
from lifemask.audit.links import Chained
from lifemask.contracts import (
    DatasetSealed,
    ModelReady,
    PhotosValidated,
    RunAccepted,
    TrainingSucceeded,
)
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    AnyStep,
    RevocationFields,
)

NAMED_BY: Final[Mapping[str, AnyStep]] = {
    RunAccepted.ce_type: UPLOAD,
    PhotosValidated.ce_type: VALIDATION,
    DatasetSealed.ce_type: DATASET,
    TrainingSucceeded.ce_type: WEIGHTS,
    ModelReady.ce_type: PUBLICATION,
}
"""The events that name a statement by its digest, and the step of that statement."""
_ONCE: Final = 1
"""Rows of a kind that a run has exactly one of."""


def judge_rows(case: Case, chained: Chained, acts: Acts) -> tuple[Finding, ...]:
    """One finding for each table; empty when nobody has read the rows."""
    if case.rows is None:
        return ()
    judges: tuple[Callable[[Case, Chained, Acts, Mapping[str, Sequence[Row]]], Iterable[Finding]], ...] = (
        _run,
        _uploaded,
        _model,
        _judged_photos,
        _attempt,
        _trainings,
        _publication,
    )
    return tuple(finding for judge in judges for finding in judge(case, chained, acts, case.rows))


def _run(case: Case, chained: Chained, _acts: Acts, rows: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    row = _one(rows, "ingest.run")
    if row is None:
        yield broken("ingest.run", "there is no such run")
        return
    expected: dict[str, object] = {"user_id": case.user, "run_id": case.run, "over": True}
    if upload := chained.link(UPLOAD):
        expected |= {"restarted_from": upload.fields.restarted_from, "request": upload.manifest.request}
    found = {**row, "request": hashlib.sha256(row["request"].encode()).hexdigest()}
    yield compared("ingest.run", expected, found)
    for fact in json.loads(row["facts"]).values():
        step = NAMED_BY.get(fact.get("type"))
        event = fact.get("event", {})
        if step and step.name in chained.digests:
            expected = {"statement": chained.digests[step.name], "user_id": case.user, "run_id": case.run}
            yield compared(f"ingest.run: fact {fact['type']}", expected, event)


def _uploaded(_case: Case, chained: Chained, _acts: Acts, rows: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    if upload := chained.link(UPLOAD):
        found = {row["photo_id"]: f"{row['sha256']} {row['bytes']}" for row in rows.get("ingest.photo", ())}
        expected = {photo.id: f"{photo.sha256} {photo.bytes}" for photo in upload.manifest.photos}
        yield _same_set("ingest.photo", expected, found, f"{len(found)} photos")


def _judged_photos(_case: Case, chained: Chained, _acts: Acts, rows: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    validation = chained.link(VALIDATION)
    if validation is None:
        return
    expected = {
        pair.id: f"{pair.original} {pair.clean} {pair.bytes if pair.clean else None}"
        for pair in validation.manifest.pairs
        if pair.clean
    }
    found = {
        row["photo_id"]: f"{row['original']} {row['clean']} {row['clean_bytes']}"
        for row in rows.get("image_validator.photo", ())
        if row["photo_id"] in expected
    }
    yield _same_set("image_validator.photo", expected, found, f"{len(found)} photos")


def _model(case: Case, chained: Chained, acts: Acts, rows: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    row, publication = _one(rows, "ingest.model"), chained.link(PUBLICATION)
    if row is None:
        yield broken("ingest.model", "a model was published that its owner was never told of")
        return
    expected: dict[str, object] = {"user_id": case.user, "model_id": case.model, "run_id": case.run}
    if publication:
        expected |= {
            "model_id": publication.fields.model,
            "version": publication.fields.version,
            "store_key": publication.manifest.store_key,
            "weights": publication.subject,
            "hub_repo": publication.manifest.repo,
            "hub_commit": publication.fields.hub_commit,
        }
    if weights := chained.link(WEIGHTS):
        expected["bytes"] = weights.fields.bytes
    revoked = acts.revoked
    if revoked is None:
        expected |= {"revoked": None, "revoked_at": None}
    elif not revoked.doubt and isinstance(revoked.fields, RevocationFields):
        expected |= {"revoked": revoked.fields.reason, "revoked_at": row["revoked_at"] or "some time"}
    yield compared("ingest.model", expected, row)


def _attempt(case: Case, chained: Chained, _acts: Acts, rows: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    row = next((each for each in rows.get("trainer.attempt", ()) if each["number"] == case.attempt), None)
    if row is None:
        yield broken("trainer.attempt", "there is no such attempt")
        return
    expected: dict[str, object] = {"user_id": case.user, "run_id": case.run, "state": "succeeded"}
    digests = chained.digests
    if DATASET.name in digests:
        expected["dataset"] = digests[DATASET.name]
    if training := chained.link(TRAINING):
        expected |= {
            "statement": training.digest,
            "trainer": training.fields.trainer,
            "steps": training.fields.steps,
            "lora_rank": training.fields.rank,
            "learning_rate": training.fields.learning_rate,
            "archive_key": training.manifest.archive_key,
        }
    if weights := chained.link(WEIGHTS):
        expected |= {"training": weights.fields.training, "version": weights.fields.version}
    yield compared("trainer.attempt", expected, row)


def _trainings(case: Case, chained: Chained, _acts: Acts, rows: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    weights = chained.link(WEIGHTS)
    if weights is None:
        return
    row = next(
        (each for each in rows.get("trainer.provider_training", ()) if each["training"] == weights.fields.training),
        None,
    )
    if row is None:
        yield broken("trainer.provider_training", "the training is in nobody's books", weights.fields.training)
        return
    expected = {"user_id": case.user, "run_id": case.run, "attempt": case.attempt, "ended_as": "succeeded"}
    yield compared("trainer.provider_training", expected, row, f"${row['cost_usd']}")


def _publication(case: Case, chained: Chained, acts: Acts, rows: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    row, publication = _one(rows, "publisher.publication"), chained.link(PUBLICATION)
    if row is None:
        yield broken("publisher.publication", "there is no such publication")
        return
    expected: dict[str, object] = {"user_id": case.user, "run_id": case.run, "model_id": case.model}
    if acts.revoked is None or acts.is_revoked:
        expected["state"] = "revoked" if acts.is_revoked else "published"
    if publication:
        expected |= {
            "place": publication.fields.version,
            "repo": publication.manifest.repo,
            "hub_commit": publication.fields.hub_commit,
        }
    yield compared("publisher.publication", expected, row)


def _one(rows: Mapping[str, Sequence[Row]], table: str) -> Row | None:
    found = rows.get(table, ())
    return found[0] if len(found) == _ONCE else None


def _same_set(name: str, expected: Mapping[str, str], found: Mapping[str, Any], what: str) -> Finding:
    more = {key: value for key, value in found.items() if key not in expected}
    finding = compared(name, expected, found, what)
    if not more:
        return finding
    strangers = tuple(broken(f"{name}: {key}", "not in the chain", None, value) for key, value in more.items())
    return broken(name, "says something else than the chain", below=(*finding.below, *strangers))
