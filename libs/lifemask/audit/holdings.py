"""The objects of a run and of its model against the chain: each is re-hashed, disposed of, or does not hold. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lifemask.audit.acts import PARTS, Act, Acts
from lifemask.audit.case import Case, Hashed
from lifemask.audit.findings import Finding, State, broken, group
from lifemask.audit.links import Chained
from lifemask.custody.contents import ARCHIVE, usable
from lifemask.custody.steps import DATASET, PUBLICATION, UPLOAD, VALIDATION, WEIGHTS
from lifemask.objects import keys
from lifemask.objects.keys import Key

NOT_ASKED: Final = "the bytes were not looked at"
UNSEALED: Final = ("names.json",)
"""Files of a run that no statement covers: they are shown to the person and decide nothing."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Findings by the step that explains the object, and those about objects that nothing explains."""

    by_step: Mapping[str, tuple[Finding, ...]]
    rest: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An object that a statement names. `gone`: the act that says so, if one does. `revoked`: it must not be there."""

    step: str
    name: str
    key: Key
    sha256: str
    gone: Act | None = None
    revoked: bool = False


def judge_holdings(case: Case, chained: Chained, acts: Acts) -> Holdings:
    """What lies in the store for this run and model, or should."""
    wanted = list(_wanted(case, chained, acts))
    by_step: dict[str, list[Finding]] = {}
    for one in wanted:
        by_step.setdefault(one.step, []).append(_judged(one, case.objects))
    for step, name in ((UPLOAD.name, "originals"), (VALIDATION.name, "clean photos")):
        if photos := [each for each in by_step.get(step, ()) if each.name.startswith("photo ")]:
            others = [each for each in by_step[step] if each not in photos]
            by_step[step] = [*others, group(name, photos, f"{len(photos)} {name}")]
    if verdicts := tuple(_verdicts(case, chained)):
        by_step.setdefault(VALIDATION.name, []).append(group("verdicts", verdicts, f"{len(verdicts)} verdicts"))
    for step, finding in _counts(chained, acts):
        by_step.setdefault(step, []).append(finding)
    known = {one.key for one in wanted} | set(_verdict_keys(case, chained))
    return Holdings({step: tuple(found) for step, found in by_step.items()}, tuple(_rest(case, known, chained)))


def _wanted(case: Case, chained: Chained, acts: Acts) -> Iterator[_Wanted]:
    user, run = case.user, case.run
    if upload := chained.link(UPLOAD):
        yield _Wanted(UPLOAD.name, "request.json", keys.request(user, run), upload.manifest.request)
        for photo in upload.manifest.photos:
            key = keys.original(user, run, photo.id)
            yield _Wanted(UPLOAD.name, f"photo {photo.id}", key, photo.sha256, acts.disposed("original"))
    if validation := chained.link(VALIDATION):
        for pair in usable(validation.manifest.pairs):
            key = keys.clean(user, run, pair.id)
            yield _Wanted(VALIDATION.name, f"photo {pair.id}", key, pair.clean or "", acts.disposed("clean"))
    if dataset := chained.link(DATASET):
        key = keys.archive(user, run, ARCHIVE)
        yield _Wanted(DATASET.name, "archive", key, dataset.manifest.archive, acts.disposed("archive"))
    if weights := chained.link(WEIGHTS):
        key = keys.weights(user, run, case.attempt)
        yield _Wanted(WEIGHTS.name, "weights in the run's folder", key, weights.subject, acts.disposed("weights"))
    if publication := chained.link(PUBLICATION):
        version = publication.fields.version
        for name, key, digest in (
            ("weights in the model store", keys.model_weights(user, case.model, version), publication.subject),
            ("metadata.json", keys.model_metadata(user, case.model, version), publication.manifest.metadata),
        ):
            yield _Wanted(PUBLICATION.name, name, key, digest, acts.revoked, revoked=acts.is_revoked)


def _counts(chained: Chained, acts: Acts) -> Iterator[tuple[str, Finding]]:
    """Nobody took any of the run's temporary objects away before ingest counted and disposed of them."""
    for step, folder, objects, size in _sealed_sizes(chained):
        if acts.disposed(folder) is None:
            continue
        told_objects, told_bytes = acts.most_gone(folder)
        name = f"disposal of {PARTS[folder]}"
        if told_objects < objects:
            why = f"{objects - told_objects} of {objects} objects were gone before their disposal"
            yield step, broken(name, why, objects, told_objects)
        elif told_bytes < size:
            why = "fewer bytes than the signed ones were there at their disposal"
            yield step, broken(name, why, size, told_bytes)


def _sealed_sizes(chained: Chained) -> Iterator[tuple[str, str, int, int]]:
    """Step, folder, and how many objects and bytes of it the chain names."""
    if upload := chained.link(UPLOAD):
        yield UPLOAD.name, "original", upload.fields.count, upload.fields.bytes
    if validation := chained.link(VALIDATION):
        clean = usable(validation.manifest.pairs)
        yield VALIDATION.name, "clean", len(clean), sum(pair.bytes or 0 for pair in clean)
    if dataset := chained.link(DATASET):
        yield DATASET.name, "archive", 1, dataset.fields.bytes
    if weights := chained.link(WEIGHTS):
        yield WEIGHTS.name, "weights", 1, weights.fields.bytes


def _judged(one: _Wanted, objects: Mapping[Key, Hashed] | None) -> Finding:
    at, doubt = (one.gone.at, one.gone.doubt) if one.gone else (None, "")
    if objects is None:
        why = f"{NOT_ASKED}; their disposal is signed" if one.gone else NOT_ASKED
        return Finding(one.name, State.UNSEEN, at=at, why=why, expected=one.sha256)
    found = objects.get(one.key)
    if found is not None and one.revoked:
        return broken(one.name, "it is there, although the model was revoked", found=found.sha256, at=at)
    if found is not None:
        if found.sha256 == one.sha256:
            return Finding(one.name, State.REHASHED, what=f"{found.size} bytes", found=found.sha256)
        return broken(one.name, "the bytes are others than the signed ones", one.sha256, found.sha256)
    if one.gone is not None:
        why = doubt or ("the model was revoked" if one.revoked else "")
        return Finding(one.name, State.UNSEEN if doubt else State.DISPOSED, at=at, expected=one.sha256, why=why)
    return broken(one.name, "missing, and nobody has signed that it was disposed of", one.sha256)


def _rest(case: Case, known: Iterable[Key], chained: Chained) -> Iterator[Finding]:
    """Objects in the run's and model's folders that the chain does not name."""
    explained = set(known)
    upload, validation = chained.link(UPLOAD), chained.link(VALIDATION)
    unused = {pair.id for pair in validation.manifest.pairs if pair.clean is None} if validation else set()
    sealed = {photo.id for photo in upload.manifest.photos} if upload else set()
    for key, found in sorted((case.objects or {}).items()):
        folder, name = key.split("/")[-2:]
        if key in explained:
            continue
        if name in UNSEALED:
            yield Finding(name, State.TOLD, what="not sealed: shown to the person, decides nothing", found=found.sha256)
        elif folder in {"clean", "verdicts"} and name.partition(".")[0] in (unused if folder == "clean" else sealed):
            yield Finding(f"{folder}/{name}", State.TOLD, what="of a photo that was not used", found=found.sha256)
        else:
            shown = "/".join(key.split("/")[2:])
            yield broken(shown, "no statement of the chain explains this object", found=found.sha256)


def _verdict_keys(case: Case, chained: Chained) -> Iterator[Key]:
    if validation := chained.link(VALIDATION):
        for pair in validation.manifest.pairs:
            yield keys.verdict(case.user, case.run, pair.id)


def _verdicts(case: Case, chained: Chained) -> Iterator[Finding]:
    """Verdict files are no subject of a statement; what they say must be what the validation and the row say."""
    validation = chained.link(VALIDATION)
    if validation is None or case.objects is None:
        return
    rows = {row["photo_id"]: row for row in (case.rows or {}).get("image_validator.photo", ())}
    usual = _thresholds(case)
    for pair in validation.manifest.pairs:
        name = f"verdict {pair.id}"
        found = case.objects.get(keys.verdict(case.user, case.run, pair.id))
        if found is None or found.data is None:
            yield broken(name, "missing" if found is None else "too large")
            continue
        said = _document(found.data)
        if said is None:
            yield broken(name, "not as it was written", found=found.sha256)
            continue
        sealed: dict[str, Any] = {
            "photo_id": pair.id,
            "usable": not pair.verdicts,
            "verdicts": [verdict.value for verdict in pair.verdicts],
            "policy": validation.fields.policy,
            "thresholds": usual,
        }
        if row := rows.get(pair.id):
            sealed |= {"measured": json.loads(row["measured"]), "similar_to": row["similar_to"]}
        wrong = [each for each, value in sealed.items() if said.get(each) != value]
        if wrong:
            yield broken(name, f"says something else than the validation: {', '.join(wrong)}", found=found.sha256)
        else:
            yield Finding(name, State.AGREES, found=found.sha256)


def _thresholds(case: Case) -> object:
    """What most verdict files of the run name; all were judged by one policy."""
    documents = [
        _document(hashed.data)
        for key, hashed in (case.objects or {}).items()
        if key.split("/")[-2] == "verdicts" and hashed.data
    ]
    found = Counter(json.dumps(said.get("thresholds"), sort_keys=True) for said in documents if said)
    return json.loads(found.most_common(1)[0][0]) if found else None


def _document(data: bytes) -> dict[str, Any] | None:
    """A JSON object in the one spelling in which it is written."""
    try:
        said = json.loads(data)
    except ValueError:
        return None
    spelled = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return said if isinstance(said, dict) and spelled == data else None
