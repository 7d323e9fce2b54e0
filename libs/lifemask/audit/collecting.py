"""Gathers everything about one model: rows, events, the store's bytes, the hub's bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lifemask.audit.case import Case, OnHub, SeenRecord
from lifemask.audit.events import CHAINED
from lifemask.audit.hub import Hub
from lifemask.audit.links import attempts_in
from lifemask.audit.log import read_log
from lifemask.audit.problems import NoSuchModel
from lifemask.audit.records import (
    Located,
    locate,
    open_database,
    read_records,
    read_rows,
    type_of,
    when_told,
)
from lifemask.audit.stored import locate_in_store, read_store
from lifemask.audit.uploads import Apps
from lifemask.contracts import BadEnvelope, ModelReady, UnknownType
from lifemask.contracts.event import ValidationError
from lifemask.contracts.signing import EventKeys, NotAuthentic, verify
from lifemask.custody import CustodyBroken
from lifemask.custody.envelopes import read_envelope
from lifemask.custody.statements import read_manifest, read_owner, read_statement
from lifemask.custody.steps import PUBLICATION, PublicationFields, PublicationManifest
from lifemask.custody.verify import Place
from lifemask.objects.keys import Key
from lifemask.objects.port import File, ObjectStore

NO_HUB: Final = "nobody has said how to reach the hub"


@dataclass(frozen=True, slots=True)
class Outside:
    """How to reach what the audit reads beside the store. `hub` None: `hub_why` says why nobody looks there.

    `apps` None: what apps have signed is not verified. `kafka` None: the log is not read. `whole_log`: it is read even
    when outboxes and inboxes have all it would give.
    """

    database: str
    hub: Hub | None = None
    hub_why: str = NO_HUB
    apps: Apps | None = None
    kafka: str | None = None
    topic_prefix: str = ""
    whole_log: bool = False


async def collect(model: str, objects: ObjectStore, outside: Outside, trusted: EventKeys) -> Case:
    """The case of a model. Raises NoSuchModel, Unreachable, and what the store raises."""
    async with open_database(outside.database) as connection:
        found = await locate(connection, model)
        located = found[0] if found else await locate_in_store(objects, model)
        if located is None:
            raise NoSuchModel(model)
        rows = await read_rows(connection, located)
        records = await read_records(connection, located)
    custody, others = await read_store(objects, located, model)
    if outside.kafka and (outside.whole_log or not set(CHAINED) <= {type_of(seen.record) for seen in records}):
        records += await read_log(outside.kafka, outside.topic_prefix, located)
    attempt = _attempt(custody, located)
    hub, hub_why = await _look(outside, custody, located, attempt)
    return Case(
        model=model,
        user=located.user,
        run=located.run,
        attempt=attempt,
        custody=custody,
        statement=_told_statement(records, trusted, located),
        objects=others,
        rows=rows,
        records=records,
        hub=hub,
        hub_why=hub_why,
        seen=when_told(rows, records, located.user),
        apps=outside.apps,
        others=tuple((one.user, one.run) for one in found if one != located),
    )


def _attempt(custody: Mapping[Key, File], located: Located) -> int:
    """The training attempt that was published: the newest with a publication, else the newest."""
    numbers = attempts_in(custody)
    published = [n for n in numbers if Place(located.user, located.run, n).statement(PUBLICATION) in custody]
    return max(published or numbers or (1,))


def _told_statement(records: list[SeenRecord], trusted: EventKeys, located: Located) -> str | None:
    """The digest of the publication statement, by an authentic event."""
    for seen in records:
        if type_of(seen.record) != ModelReady.ce_type:
            continue
        try:
            event = verify(seen.record, trusted, seen.at)
        except (NotAuthentic, BadEnvelope, UnknownType, ValidationError):
            continue
        if isinstance(event, ModelReady) and (event.user_id, event.run_id) == (located.user, located.run):
            return event.statement
    return None


async def _look(
    outside: Outside, custody: Mapping[Key, File], located: Located, attempt: int
) -> tuple[OnHub | None, str]:
    """The repository that the publication names, whether or not the publication is sound."""
    if outside.hub is None:
        return None, outside.hub_why
    repo, commit = _named(custody, Place(located.user, located.run, attempt))
    return (await outside.hub.look(repo, commit), "") if repo else (None, "")


def _named(custody: Mapping[Key, File], place: Place) -> tuple[str | None, str | None]:
    try:
        owner = read_owner(_bytes(custody.get(place.owner)))
        salt = owner.manifest_salt(PUBLICATION, place.attempt)
        manifest = read_manifest(
            PublicationManifest, _bytes(custody.get(place.manifest(PUBLICATION))), salt, "publication: manifest"
        )
        sealed = read_envelope(PUBLICATION, _bytes(custody.get(place.statement(PUBLICATION))))
        fields = read_statement(PUBLICATION, sealed.payload).fields
    except CustodyBroken:
        return None, None
    commit = fields.hub_commit if isinstance(fields, PublicationFields) else None
    return manifest.repo, commit


def _bytes(file: File | None) -> bytes:
    return file if isinstance(file, bytes) else b""
