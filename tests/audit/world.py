"""A case made of a whole chain in memory, with the bytes that it names."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.custody.runs import AT, PHOTOS, Run, sealed

from lifemask.audit.case import Case
from lifemask.audit.findings import Report
from lifemask.audit.records import Located
from lifemask.audit.stored import read_store
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import DISPOSAL, REVOCATION, DisposalFields, Gone, RevocationFields
from lifemask.objects import keys
from lifemask.testkit.custody import chain_of

MODEL = PHOTOS[0]
TEMPORARY = ("original", "clean", "archive", "weights")


async def a_case(made: Run | None = None, **changes: Any) -> Case:
    """The chain of `made` with everything in the store that lasts; the photos, archive and weights are disposed of."""
    made = made or await sealed()
    for key, data in (
        (keys.request(made.user, made.run), b"request"),
        (keys.model_weights(made.user, MODEL, "1-1"), b"weights"),
        (keys.model_metadata(made.user, MODEL, "1-1"), b"metadata"),
    ):
        await made.objects.put(key, data)
    for photo in PHOTOS:
        await made.objects.put(keys.verdict(made.user, made.run, photo), verdict_of(photo))
    custody, others = await read_store(made.objects, Located(made.user, made.run), MODEL)
    values: dict[str, Any] = {"objects": others, "hub_why": "no hub here"} | changes
    return Case(MODEL, made.user, made.run, made.attempt, custody, **values)


def verdict_of(photo: str) -> bytes:
    """The file of a photo's judgement."""
    said = {"photo_id": photo, "usable": True, "verdicts": [], "similar_to": None, "measured": {}, "thresholds": {}}
    return json.dumps(said | {"policy": digest_of(b"policy")}, sort_keys=True, separators=(",", ":")).encode()


WHOLE = {"original": (12, 12_000), "clean": (12, 60), "archive": (1, 60), "weights": (1, 7)}
"""How many objects and bytes of each kind the chain of `sealed` has."""


async def disposed(
    made: Run,
    *,
    at: datetime = AT,
    what: tuple[str, ...] = TEMPORARY,
    found: Mapping[str, tuple[int, int]] = WHOLE,
) -> None:
    """Ingest signs that the temporary objects go, as many as it finds."""
    fields = DisposalFields(
        actor="ingest",
        reason="lifemask.model.ready.v1",
        gone=tuple(Gone(what=each, objects=found[each][0], bytes=found[each][1]) for each in what),
    )
    previous = made.digests["publication"]
    chain = chain_of(made.objects, "ingest")
    await chain.record(DISPOSAL, made.user, made.run, "work", fields=fields, at=at, previous=previous)


def revoked_rows(at: datetime) -> dict[str, list[dict[str, Any]]]:
    """What ingest's row of the model says once it heard of the revocation."""
    return {"ingest.model": [{"revoked": "Another person's photos.", "revoked_at": at}]}


def disposal_rows(at: datetime) -> dict[str, list[dict[str, Any]]]:
    """What ingest's rows say of the disposals once they are done."""
    return {"ingest.disposal": [{"what": what, "at": at} for what in TEMPORARY]}


async def revoked(made: Run, *, at: datetime = AT) -> None:
    """The publisher signs that the model is withdrawn."""
    fields = RevocationFields(actor="kim", reason="Another person's photos.", model=MODEL, version="1-1")
    await chain_of(made.objects, "publisher").record(REVOCATION, made.user, made.run, "model", fields=fields, at=at)


def broken(report: Report) -> dict[str, str]:
    """What does not hold, by name, and why."""
    return {finding.name: finding.why for finding in report.broken}
