"""From the database's records to the domain's values, and facts to JSON and back."""

import json
from datetime import datetime
from typing import Any

import asyncpg

from lifemask.contracts import BY_TYPE, RunEvent
from lifemask.ingest.domain.facts import Fact, Facts
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.runs import Counts, Run
from lifemask.ingest.ports import Model

RUN = "user_id, run_id, request, created_at, submitted_at, facts, seq, upload, objects, content, \
restarted_from, restarted_as, submits"
"""Columns of `run_of`."""
COUNTS = """
    count(photo_id)::int as received,
    count(*) filter (where photo_id is not null and usable is null)::int as pending,
    count(*) filter (where usable)::int as usable,
    count(*) filter (where not usable)::int as rejected,
    count(*) filter (where not here)::int as coming
"""
"""Columns of `counts_of`, over the photos that were not taken out."""
PHOTO = "photo_id, sha256, bytes, media_type, received_at, usable, verdicts, similar_to, door, here"
"""Columns of `photo_of`."""
MODEL = "model_id, run_id, version, store_key, weights, bytes, hub_repo, ready_at, revoked"
"""Columns of `model_of`."""


def run_of(record: asyncpg.Record) -> Run:
    """A record of RUN."""
    return Run(
        user_id=record["user_id"],
        id=record["run_id"],
        request=record["request"],
        created_at=record["created_at"],
        submitted_at=record["submitted_at"],
        facts=read_facts(record["facts"]),
        seq=record["seq"],
        upload=record["upload"],
        objects=tuple(record["objects"]),
        content=record["content"],
        restarted_from=record["restarted_from"],
        restarted_as=record["restarted_as"],
        submits=record["submits"],
    )


def counts_of(record: asyncpg.Record) -> Counts:
    """A record of COUNTS."""
    return Counts(record["received"], record["pending"], record["usable"], record["rejected"], record["coming"])


def photo_of(record: asyncpg.Record) -> Photo:
    """A record of PHOTO."""
    return Photo(
        id=record["photo_id"],
        sha256=record["sha256"],
        bytes=record["bytes"],
        media_type=record["media_type"],
        received_at=record["received_at"],
        usable=record["usable"],
        verdicts=tuple(record["verdicts"]),
        similar_to=record["similar_to"],
        door=record["door"],
        here=record["here"],
    )


def model_of(record: asyncpg.Record) -> Model:
    """A record of MODEL."""
    return Model(
        id=record["model_id"],
        run_id=record["run_id"],
        version=record["version"],
        store_key=record["store_key"],
        weights=record["weights"],
        bytes=record["bytes"],
        hub_repo=record["hub_repo"],
        ready_at=record["ready_at"],
        revoked=record["revoked"],
    )


def write_facts(facts: Facts) -> str:
    """JSON of the facts, by slot."""
    return json.dumps({slot: _written(fact) for slot, fact in facts.slots.items()}, separators=(",", ":"))


def read_facts(text: str) -> Facts:
    """The facts in that JSON; types of a newer version are left out."""
    found = {slot: _read(fact) for slot, fact in json.loads(text).items()}
    return Facts({slot: fact for slot, fact in found.items() if fact is not None})


def _written(fact: Fact) -> dict[str, Any]:
    event = fact.event
    return {"type": event.ce_type, "at": fact.at.isoformat(), "event": json.loads(event.body())}


def _read(stored: dict[str, Any]) -> Fact | None:
    kind = BY_TYPE.get(stored["type"])
    if kind is None or not issubclass(kind, RunEvent):
        return None
    return Fact(kind.model_validate(stored["event"], extra="ignore"), datetime.fromisoformat(stored["at"]))
