"""Attacks on what is kept: one changed byte of any object, statement, row or event is named by the audit."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from tests.system.audited import Audited, flipped, names
from tests.system.stack import Stack

from lifemask.audit.bundle import open_bundle, write_bundle
from lifemask.audit.case import Hashed
from lifemask.audit.judging import judge
from lifemask.custody.verify import present
from lifemask.objects import open_objects
from lifemask.objects.keys import Key
from lifemask.objects.port import Absent

pytestmark = pytest.mark.attacks

ROWS = {
    "ingest.run": ("request", "restarted_from", "over", "facts"),
    "ingest.photo": ("photo_id", "sha256", "bytes"),
    "ingest.model": ("version", "store_key", "weights", "bytes", "hub_repo", "hub_commit", "revoked"),
    "image_validator.photo": ("original", "clean", "clean_bytes", "measured"),
    "trainer.attempt": (
        *("state", "trainer", "dataset", "statement", "archive_key", "steps", "lora_rank", "learning_rate"),
        *("training", "version"),
    ),
    "trainer.provider_training": ("training", "attempt", "ended_as"),
    "publisher.publication": ("model_id", "state", "place", "repo", "hub_commit"),
}
"""Every column that says whose, what, from what, how many: each is compared."""
STEPS = frozenset({"upload", "validation", "dataset", "training", "weights", "publication"})


async def test_one_changed_byte_of_any_object_is_named(audited: Audited) -> None:
    """On disk, file by file; each is named and nothing else is."""
    keys = [*audited.case.custody, *audited.objects_found]
    assert len(keys) >= 12 + 2 + 13
    for key in keys:
        if key.endswith("names.json"):  # the person's own file names are no part of the proof, which the audit says
            continue
        async with open_objects(audited.objects) as objects:
            content = await objects.get(key, limit=100_000_000)
            await objects.put(key, flipped(content))
            try:
                report = await audited.again()
            finally:
                await objects.put(key, content)
        assert not report.holds, key
    assert (await audited.again()).holds


@pytest.mark.parametrize("how", ["missing", "empty", "too large"])
async def test_a_file_of_the_chain_that_is_gone_is_named(audited: Audited, how: str) -> None:
    others = {"missing": Absent.MISSING, "empty": b"", "too large": Absent.TOO_LARGE}
    for key in audited.case.custody:
        if key.rpartition("/")[2].startswith("disposal"):
            continue
        assert not audited.judged(custody={**audited.case.custody, key: others[how]}).holds, (key, how)


async def test_without_its_disposal_statement_missing_bytes_are_broken(audited: Audited) -> None:
    kept = {key: file for key, file in audited.case.custody.items() if "/disposal-" not in key}
    assert len(kept) < len(audited.case.custody)
    report = audited.judged(custody=kept)
    assert {"archive", "weights in the run's folder"} <= names(report)


async def test_an_object_that_no_statement_explains_is_named(audited: Audited) -> None:
    run = next(iter(audited.case.custody)).rpartition("/custody/")[0]
    for name in ("original/01a1fdeb-7090-7460-86de-05e1e4156b77", "archive/2.zip", "notes.txt"):
        more = {**audited.objects_found, Key(f"{run}/{name}"): Hashed("0" * 64, 1)}
        assert names(audited.judged(objects=more)) >= {"other objects"}, name
    report = audited.judged(custody={**audited.case.custody, f"{run}/custody/7-more-1.dsse.json": b"{}"})
    assert "7-more-1.dsse.json" in names(report)


async def test_every_changed_column_is_named(audited: Audited) -> None:
    rows = audited.case.rows or {}
    for table, columns in ROWS.items():
        for number, row in enumerate(rows[table]):
            for column in columns:
                changed = [*rows[table]]
                changed[number] = {**row, column: other(row[column])}
                report = audited.judged(rows={**rows, table: changed})
                assert not report.holds, (table, column)
        assert not audited.judged(rows={**rows, table: []}).holds, table


def other(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str() if value.startswith("{") and '"statement"' in value:
            facts = json.loads(value)
            facts["end"]["event"]["statement"] = "0" * 64
            return json.dumps(facts)
        case str() if value.startswith("{"):
            return value.replace("1", "2", 1)
        case str():
            return value[:-1] + ("x" if value[-1:] != "x" else "y")
    return "something"


@asynccontextmanager
async def changed_row(stack: Stack, change: str, back: str, *values: Any) -> AsyncIterator[None]:
    connection = await asyncpg.connect(stack.dsn)
    try:
        await connection.execute(change, *values)
        yield
    finally:
        await connection.execute(back, *values)
        await connection.close()


async def test_a_row_that_was_changed_by_hand_is_named(audited: Audited) -> None:
    column = "update trainer.attempt set training = reverse(training) where user_id = $1 and run_id = $2"
    async with changed_row(audited.stack, column, column, audited.case.user, audited.case.run):
        assert "trainer.attempt: training" in names(await audited.again())


async def test_every_changed_event_is_named(audited: Audited) -> None:
    records = list(audited.case.records or ())
    assert len(records) > 60
    kinds = set()
    for number, seen in enumerate(records):
        changed: list[dict[str, Any]] = [{"value": flipped(seen.record.value)}]
        rest: tuple[dict[str, Any], ...] = (
            {"key": b"acme.somebody"},
            {"topic": "lifemask.elsewhere"},
            {"headers": tuple((n, flipped(v) if n == "ce_signature" else v) for n, v in seen.record.headers)},
            {"headers": tuple((n, v + b"0" if n == "ce_id" else v) for n, v in seen.record.headers)},
        )
        if (kind := dict(seen.record.headers)["ce_type"]) not in kinds:  # what is around the body: once of each type
            kinds.add(kind)
            changed += rest
        for changes in changed:
            altered = [*records]
            altered[number] = replace(seen, record=seen.record._replace(**changes))
            report = audited.judged(records=altered)
            assert not report.holds, (seen.where, seen.id, list(changes))


async def test_an_event_of_the_outbox_that_was_changed_by_hand_is_named(audited: Audited) -> None:
    change = "update publisher.outbox set value = set_byte(value, 20, get_byte(value, 20) # 1) where key = $1"
    async with changed_row(audited.stack, change, change, audited.case.user):
        assert any(name.startswith("outbox of publisher") for name in names(await audited.again()))


async def test_an_event_does_not_drop_out_when_it_is_said_to_be_of_something_else(audited: Audited) -> None:
    run, user, other = audited.case.run, audited.case.user, audited.model
    for table, change, back in (
        (
            "outbox of publisher",
            """update publisher.outbox set key = 'acme.x',
               headers = replace(headers::text, '"ce_subject", "' || $2, '"ce_subject", "' || $3)::jsonb
               where key = $1""",
            """update publisher.outbox set key = $1,
               headers = replace(headers::text, '"ce_subject", "' || $3, '"ce_subject", "' || $2)::jsonb
               where key = 'acme.x'""",
        ),
        (
            "inbox of publisher",
            "update publisher.inbox set run_id = $3 where user_id = $1 and run_id = $2 and topic <> 'reminder'",
            "update publisher.inbox set run_id = $2 where user_id = $1 and run_id = $3 and topic <> 'reminder'",
        ),
    ):
        async with changed_row(audited.stack, change, back, user, run, other):
            assert any(name.startswith(table) for name in names(await audited.again())), table
    assert (await audited.again()).holds


async def test_other_bytes_on_the_hub_are_named(audited: Audited) -> None:
    hub = audited.case.hub
    assert hub is not None
    statements = dict(hub.statements)
    first = next(iter(statements))
    for changes, name in (
        ({"weights": "0" * 64}, "weights on the hub"),
        ({"weights": None}, "weights on the hub"),
        ({"head_weights": "0" * 64}, "weights on the hub, newest commit"),
        ({"card": "0" * 64}, "model card"),
        ({"private": False}, "repository"),
        ({"statements": {**statements, first: flipped(statements[first])}}, first),
        ({"statements": {n: data for n, data in statements.items() if n != first}}, first),
        ({"statements": {**statements, "7-more-1.dsse.json": b"{}"}}, "7-more-1.dsse.json"),
        ({"others": ("notes.txt",)}, "notes.txt on the hub"),
    ):
        assert name in names(audited.judged(hub=replace(hub, **changes))), changes
    assert "weights on the hub" in names(audited.judged(hub=None))


async def test_a_bundle_says_the_same_as_the_audit_about_what_both_see(audited: Audited) -> None:
    """The signed files, each changed in turn: both name the same links."""
    for key in (None, *audited.case.custody):
        changed = dict(audited.case.custody)
        if key:
            changed[key] = flipped(present(changed[key], key))
        online = replace(audited.case, custody=changed)
        offline = open_bundle(write_bundle(online, audited.keyring.data), audited.keyring.root)
        signed = {one.name for one in judge(offline.case, offline.keyring).broken}
        seen = names(judge(online, audited.keyring))
        assert signed == {name for name in seen if name in signed or name in STEPS}, key
        assert bool(signed) is bool(key), key
