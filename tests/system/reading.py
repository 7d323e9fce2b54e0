"""Reads a history: waits until everything is quiet, then looks at Kafka, PostgreSQL, the store and the sandbox."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from tests.system.history import (
    Attempt,
    Baton,
    Billed,
    Dataset,
    EventKey,
    Fact,
    Handled,
    History,
    Notice,
    Published,
    RunKey,
    body_of,
    kind_of,
)
from tests.system.outside import Outside
from tests.system.stack import Stack
from tests.system.waiting import eventually

from lifemask.audit.collecting import Outside as Audited
from lifemask.audit.collecting import collect
from lifemask.audit.hub import open_hub
from lifemask.audit.judging import judge
from lifemask.audit.problems import NoSuchModel
from lifemask.cli.installation import Installation
from lifemask.cli.plan import SERVICES
from lifemask.contracts import Topic, read_envelope
from lifemask.custody import Reader
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.steps import DATASET, PUBLICATION, UPLOAD, VALIDATION
from lifemask.keys.files import Trust
from lifemask.objects.keys import Key
from lifemask.objects.opening import open_objects
from lifemask.objects.port import ObjectStore

POISON = "poison"
"""Header of the records that a test has poisoned: no facts."""

Sound = Callable[[], Awaitable[History]]
"""Waits for quiet and asserts every invariant; what a test calls at its end."""


@dataclass(slots=True)
class Reading:
    """How a history is read. `settings`: what the system was started with, where its parts are not its own.

    `audits`: the audit of each published model, which is not made twice; None makes none.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    audits: dict[str, str] | None = field(default_factory=dict)


_COUNTS = """
    select (select count(*) from {0}.lane where todo > 0) as lanes,
           (select count(*) from {0}.inbox where done_at is null and dead_at is null) as undone,
           (select count(*) from {0}.inbox where dead_at is not null and done_at is null) as dead,
           (select count(*) from {0}.outbox where sent_at is null) as unsent,
           (select count(*) from {0}.reminder where due_at < now() + interval '0.3 s'
             or (type like '%.clear-work.%' and due_at < now() + interval '1 min')) as due,
           (select count(*) from {0}.inbox) as got, (select count(*) from {0}.outbox) as said,
           (select count(*) from {0}.baton where taken_at is not null and passed_at is null
             and '{0}' <> 'ingest') as held
"""
_OUTBOX = "select id, headers, created_at from {0}.outbox where topic not like $1"
_HANDLED = """
    select lane, run_id, headers from {0}.inbox where done_at is not null and dead_at is null and replays = 0
    order by done_at, seq
"""
_ROUNDS = 5
"""How often a history is read before one that goes on meanwhile is taken for one that never rests."""
_MOVING = ("lanes", "undone", "unsent", "due", "held")
_OPEN = """
    select (select count(*) from ingest.run where submitted_at is not null and not over)
         + (select count(*) from notifier.notification where state = 'pending')
         + (select count(*) from trainer.provider_training where booked_at is null) as open
"""


async def read_history(
    stack: Stack, outside: Outside, seconds: float = 25.0, reading: Reading | None = None
) -> History:
    """Everything there is, once nothing moves any more. Without `reading`: of a system with its own parts.

    What comes while it is read and is still to do, or was told, has it read anew. Reminders that find nothing to do
    come for hours; they change nothing.
    """
    reading = reading or Reading(audits=None)
    rows = await asyncpg.connect(stack.dsn, server_settings={"default_transaction_read_only": "on"})
    try:
        went_on: list[str] = []
        for _ in range(_ROUNDS):
            found = await _quiet(rows, seconds)
            history = await _read(stack, outside, reading, rows)
            after = await _counted(rows)
            went_on = [
                name
                for name, then, now in zip(SERVICES, found, after, strict=True)
                if history.undone[name] or history.unsent[name] or then["said"] != now["said"]
            ]
            if not went_on:
                return history
        raise AssertionError(f"it went on {_ROUNDS} times while it was read, at last in {went_on}")
    finally:
        await rows.close()


async def _read(
    stack: Stack, outside: Outside, reading: Reading, rows: "asyncpg.Connection[asyncpg.Record]"
) -> History:
    history = History()
    stored = await _read_bus(rows, history)
    await _read_rows(rows, history)
    brokers = reading.settings.get("LIFEMASK_KAFKA") or stack.kafka
    history.is_refilled = "LIFEMASK_KAFKA" not in reading.settings
    records = await read_log(brokers, reading.settings.get("LIFEMASK_TOPIC_PREFIX", ""))
    facts = [_fact(record) for record in records if POISON not in dict(record.headers)]
    history.places_in_log = _places(records)
    history.facts = _at_the_databases_time(facts, stored)
    history.places["Kafka"] = b"\n".join(fact.raw for fact in history.facts)
    _read_outside(history, ledger := await outside.ledger(), await outside.mails())
    async with AsyncExitStack() as open_:
        url = reading.settings.get("LIFEMASK_OBJECTS") or (stack.data / "objects").resolve().as_uri()
        objects = await open_.enter_async_context(open_objects(url))
        history.objects = {info.key async for info in objects.list("")}
        await _prove(history, stack, ledger, objects)
        if reading.audits is not None:
            await _audit(history, stack, objects, reading.audits)
    return history


async def _audit(history: History, stack: Stack, objects: ObjectStore, known: dict[str, str]) -> None:
    """The audit of every announced model that was not revoked."""
    gone = {fact.body["model_id"] for fact in history.facts if fact.kind == "model.revoked"}
    where, keyring = Installation.find(stack.data, {}), Trust(stack.data / "keys").keyring
    assert where.hub is not None
    async with open_hub(where.hub.url, where.hub.token) as hub:
        for model in {str(fact.body["model_id"]) for fact in history.facts if fact.kind == "model.ready"} - gone:
            if model not in known:
                try:
                    report = judge(await collect(model, objects, Audited(stack.dsn, hub=hub), keyring), keyring)
                except NoSuchModel:
                    known[model] = "there is no such model"
                else:
                    known[model] = "; ".join(f"{each.name}: {each.why}" for each in report.broken)
    history.audits = {model: why for model, why in known.items() if model not in gone}


async def read_log(brokers: str, prefix: str = "") -> list[ConsumerRecord]:
    """Every record of our topics, but for the notices of dead letters, which are copies."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    try:
        await admin.start()
        described = await admin.describe_topics()
    finally:
        await admin.close()
    ours = {topic.named(prefix) for topic in Topic if topic is not Topic.DEAD_LETTERS}
    places = [
        TopicPartition(topic["topic"], part["partition"])
        for topic in described
        if topic["topic"] in ours
        for part in topic["partitions"]
    ]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # else a late answer may set a partition to its end after the seek below
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        records: list[ConsumerRecord] = []
        while waiting := [place for place in places if await consumer.position(place) < ends[place]]:
            for found in (await consumer.getmany(*waiting, timeout_ms=200)).values():
                records += found
        return records
    finally:
        await consumer.stop()


def _places(records: list[ConsumerRecord]) -> dict[EventKey, tuple[str, int]]:
    """An event that was sent again came when it came first."""
    found: dict[EventKey, tuple[str, int]] = {}
    for record in sorted(records, key=lambda each: each.offset):
        headers = dict(record.headers)
        if POISON not in headers:
            source, id_ = ((headers.get(name) or b"").decode() for name in ("ce_source", "ce_id"))
            found.setdefault((source, id_), (f"{record.topic}/{record.partition}", record.offset))
    return found


async def _counted(rows: "asyncpg.Connection[asyncpg.Record]") -> list[dict[str, int]]:
    return [dict(await rows.fetchrow(_COUNTS.format(name)) or {}) for name in SERVICES]


async def _quiet(rows: "asyncpg.Connection[asyncpg.Record]", seconds: float) -> list[dict[str, int]]:
    """Nothing to do, nothing due, nobody holds a run; and the same again a moment later, for what is under way.

    Returns what was counted then.
    """
    before: list[dict[str, int]] = []

    async def rests() -> bool:
        nonlocal before
        counts = await _counted(rows)
        moving = [f"{name}: {key}" for name, c in zip(SERVICES, counts, strict=True) for key in _MOVING if c[key]]
        moving += ["open"] if await rows.fetchval(_OPEN) else []
        same, before = counts == before and not moving, counts if not moving else []
        last[:] = moving
        return same

    last: list[str] = []
    try:
        await eventually(rests, seconds, every=0.12)
    except AssertionError:
        raise AssertionError(f"not quiet within {seconds:g} s: {last}") from None
    return before


_Stored = dict[tuple[str, str], tuple[int, datetime]]
"""By service and event id: the place in its outbox, and the database's time."""


async def _read_bus(rows: "asyncpg.Connection[asyncpg.Record]", history: History) -> _Stored:
    stored: _Stored = {}
    for name in SERVICES:
        counts = await rows.fetchrow(_COUNTS.format(name))
        assert counts is not None
        history.undone[name], history.unsent[name] = counts["undone"], counts["unsent"]
        history.dead[name] = counts["dead"]
        for row in await rows.fetch(_OUTBOX.format(name), f"%{Topic.DEAD_LETTERS}"):
            ce_id = dict(body_of(row["headers"].encode()))["ce_id"]
            history.outbox[ce_id] = history.outbox.get(ce_id, 0) + 1
            stored[f"lifemask/{name.replace('_', '-')}", ce_id] = row["id"], row["created_at"]
        for row in await rows.fetch(_HANDLED.format(name)):
            headers = dict(body_of(row["headers"].encode()))
            if "ce_source" in headers:  # a reminder comes from nobody
                lane = history.handled.setdefault((name, row["lane"]), [])
                lane.append(Handled(source=headers["ce_source"], id=headers["ce_id"], run=row["run_id"] or ""))
        history.batons += [
            Baton(
                service=name,
                user=row["user_id"],
                run=row["run_id"],
                taken_at=row["taken_at"],
                passed_at=row["passed_at"],
                passed_as=row["passed_as"],
                deadline_at=row["deadline_at"],
            )
            for row in await rows.fetch(f"select * from {name}.baton")
        ]
    return stored


_TICK = timedelta(microseconds=1)


def _at_the_databases_time(facts: list[Fact], stored: _Stored) -> list[Fact]:
    """A fact's own time is its service's, which may be wrong: here it is when its transaction began.

    Of two transactions about one run, the one that waited for the other may have begun before it; the outbox has them
    in the order in which the run's lock was given.
    """
    newest: dict[tuple[str, RunKey], datetime] = {}
    found = []
    for place, fact in sorted(
        ((stored.get((fact.source, fact.id), (0, fact.at)), fact) for fact in facts), key=lambda pair: pair[0]
    ):
        after = newest.get((fact.source, fact.key), place[1] - _TICK)
        at = max(place[1], after + _TICK)
        newest[fact.source, fact.key] = at
        found.append(replace(fact, at=at))
    return found


async def _read_rows(rows: "asyncpg.Connection[asyncpg.Record]", history: History) -> None:
    for row in await rows.fetch("select user_id, run_id from ingest.run where submitted_at is not null"):
        history.submitted.add((row["user_id"], row["run_id"]))
    for row in await rows.fetch("select user_id, run_id, sha256 from ingest.photo where removed_at is null"):
        history.photos.setdefault((row["user_id"], row["run_id"]), set()).add(row["sha256"])
    for row in await rows.fetch("select user_id, run_id, model_id from ingest.model"):
        history.models[row["model_id"]] = (row["user_id"], row["run_id"])
    for row in await rows.fetch("select user_id, run_id, model_id from publisher.publication"):
        history.publishing[row["user_id"], row["run_id"]] = row["model_id"]
    trainings = await rows.fetch("select * from trainer.provider_training")
    for row in await rows.fetch("select * from trainer.attempt"):
        history.attempts.append(_attempt(row, trainings))
    for row in await rows.fetch("select * from notifier.notification where is_terminal"):
        history.notices.append(
            Notice(
                id=row["id"],
                user=row["user_id"],
                run=row["run_id"],
                outcome=row["outcome"],
                channel=row["channel"],
                state=row["state"],
            )
        )


def _attempt(row: Any, trainings: list[Any]) -> Attempt:
    mine = [each for each in trainings if (each["run_id"], each["attempt"]) == (row["run_id"], row["number"])]
    return Attempt(
        user=row["user_id"],
        run=row["run_id"],
        number=row["number"],
        state=row["state"],
        stop=row["stop"],
        path=urlsplit(row["archive_url"]).path,
        booked={each["training"]: each["cost_usd"] for each in mine},
    )


def _read_outside(history: History, ledger: dict[str, Any], mails: list[dict[str, Any]]) -> None:
    for each in ledger["trainings"]:
        archive = each["archive"]
        history.billed.append(
            Billed(
                id=each["id"],
                path=each["input_path"],
                is_over=each["is_over"],
                succeeded=each["status"] == "succeeded",
                cost=Decimal(each["cost_usd"]),
                photos=None if archive is None else tuple(member["sha256"] for member in archive["members"]),
            )
        )
    history.mails = [str(mail["headers"]["Message-ID"]).strip("<>").partition("@")[0] for mail in mails]


async def _prove(history: History, stack: Stack, ledger: dict[str, Any], objects: ObjectStore) -> None:
    """Opens the chain of every sealed dataset and every model on the bytes in the store."""
    on_hub = {
        repo["id"]: repo["files"].get("lora.safetensors", {}).get("sha256")
        for repo in ledger["repos"]
        if repo["deleted_at"] is None
    }
    chain = Reader(objects, Trust(stack.data / "keys"))
    for fact in history.facts:
        if fact.kind == "dataset.sealed" and fact.key not in history.datasets:
            history.datasets[fact.key] = await _dataset(chain, fact)
    attempts = {fact.key: fact.body["attempt"] for fact in history.facts if fact.kind == "training.succeeded"}
    ready = {fact.body["model_id"]: fact for fact in history.facts if fact.kind == "model.ready"}
    for (user, _), model in history.publishing.items():
        fact_ = ready.get(model)
        place = fact_.body["store_key"] if fact_ else f"users/{user}/models/{model}/"
        stored = await _digest_below(objects, history.objects, place)
        hub = next((digest for repo, digest in on_hub.items() if repo.endswith(model)), None)
        stated = await _stated(chain, fact_, attempts) if fact_ else None
        if isinstance(stated, CustodyBroken):
            history.published[model] = str(stated)
        elif stored or hub or fact_:
            history.published[model] = Published(stated=stated, store=stored, hub=hub)


async def _dataset(chain: Reader, fact: Fact) -> Dataset | str:
    try:
        link = await chain.open(DATASET, fact.body["statement"], *fact.key, seen=None)
    except CustodyBroken as error:
        return str(error)
    pairs = [pair for pair in link.back(VALIDATION).manifest.pairs if pair.clean]
    uploaded = {photo.id: photo.sha256 for photo in link.back(UPLOAD).manifest.photos}
    members = frozenset(member.sha256 for member in link.manifest.members)
    if members != {pair.clean for pair in pairs} or any(uploaded.get(pair.id) != pair.original for pair in pairs):
        return "its members are not the clean photos of the uploaded ones"
    return Dataset(clean=members, originals=frozenset(pair.original for pair in pairs))


async def _stated(chain: Reader, fact: Fact, attempts: dict[Any, Any]) -> str | CustodyBroken:
    try:
        link = await chain.open(PUBLICATION, fact.body["statement"], *fact.key, attempts.get(fact.key, 1), seen=None)
    except CustodyBroken as error:
        return error
    return link.subject


async def _digest_below(objects: ObjectStore, keys: set[str], place: str) -> str | None:
    """SHA-256 of a weights file, or of any below a folder: what an earlier try left is tidied up an hour later."""
    found = sorted(key for key in keys if key.startswith(place) and key.endswith("lora.safetensors"))
    if not found:
        return None
    digest = hashlib.sha256()
    async for piece in objects.read(Key(found[0])):
        digest.update(piece)
    return digest.hexdigest()


def _fact(record: ConsumerRecord) -> Fact:
    envelope = read_envelope(record.headers)
    assert envelope.time is not None
    return Fact(
        kind=kind_of(envelope.type),
        user=(record.key or b"").decode(),
        run=envelope.subject,
        at=envelope.time,
        source=envelope.source,
        id=envelope.id,
        body=body_of(record.value),
        traceparent=envelope.traceparent,
        raw=b"\n".join([record.value or b"", record.key or b"", *(value or b"" for _, value in record.headers)]),
    )
