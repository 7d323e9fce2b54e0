"""From a Kafka record to a row of the inbox: identity, lane, run. Nothing of the body is decoded, unless it must be."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lifemask.bus.outcomes import Route
from lifemask.contracts import BY_TYPE, BadEnvelope, Envelope, Topic, read_envelope, split_version
from lifemask.contracts.ids import USER_PATTERN, UUID7_PATTERN
from lifemask.contracts.runs import RunCancelRequested
from lifemask.contracts.users import UserErasureRequested

CONTROL: Final = "/control"
"""Suffix of a user's control lane; `/` is not in the alphabet of user ids."""
PROBLEM: Final = "lifemask-problem"
"""Header of a stored record that its handler must refuse, for TWICE. Only the intake sets it."""
TWICE: Final = "the same identity came before with other bytes"
_OURS: Final = "lifemask-"
"""How the names of headers begin that only we add to what is stored or announced: a sender's are left out."""
UNREADABLE: Final = "unreadable"
"""Lane of records without a usable key or envelope: they are stored dead."""

_USER = re.compile(USER_PATTERN)
_UUID = re.compile(UUID7_PATTERN)


@dataclass(frozen=True, slots=True)
class Raw:
    """A Kafka record as it came. `place` is `topic/partition/offset`."""

    topic: str
    place: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    decodable: bool = True
    """False: these are places in the log (`topic/partition/first-last`) whose batch cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A row for the inbox; with `problem` it is stored as a dead letter."""

    msg_id: str
    lane: str
    user_id: str | None
    run_id: str | None
    type: str
    topic: str
    value: bytes
    headers: str
    source: str = ""
    brings: bool = False
    cancels: bool = False
    wanted: bool = True
    problem: str | None = None
    envelope: Envelope | None = None
    raw: Raw | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A service's routes by type, and by type without version (a newer version waits for the deploy)."""

    routes: Mapping[str, Route]
    families: Mapping[str, int]
    brings: frozenset[str]

    @classmethod
    def of(cls, routes: Iterable[Route]) -> "Table":
        by_type = {route.message.ce_type: route for route in routes}
        families: dict[str, int] = {}
        for name in by_type:
            family, version = split_version(name)
            families[family] = max(version, families.get(family, 0))
        bringing = frozenset(split_version(name)[0] for name, route in by_type.items() if route.brings)
        return cls(by_type, families, bringing)

    @property
    def topics(self) -> set[Topic]:
        """The topics this service reads."""
        kinds = {BY_TYPE[name] for name in self.routes if name in BY_TYPE}
        if self.brings:
            kinds.add(RunCancelRequested)
        return {kind.topic for kind in kinds}

    def read(self, raw: Raw) -> Inbound | None:
        """The record's row, or None for a type this service has no use for."""
        if not raw.decodable:
            return replace(_dead(raw, None), topic=raw.place)
        try:
            envelope = read_envelope(raw.headers)
        except BadEnvelope:
            return _dead(raw, None)
        family, _ = split_version(envelope.type)
        cancels = bool(self.brings) and family == _CANCEL
        if family not in self.families and not cancels:
            return None
        user = _match(_USER, (raw.key or b"").decode(errors="replace"))
        run = _match(_UUID, envelope.subject or "") or _run_in_body(raw.value)
        brings = family in self.brings
        if user is None or raw.value is None or (run is None and (brings or cancels)):
            return _dead(raw, envelope)
        return Inbound(
            msg_id=identity(envelope.source, envelope.id),
            lane=user + CONTROL if family in _CONTROLLING else user,
            user_id=user,
            run_id=run,
            type=envelope.type,
            topic=raw.topic,
            value=raw.value,
            headers=headers_json(senders(raw.headers)),
            source=envelope.source,
            brings=brings,
            cancels=cancels,
            wanted=family in self.families,
            envelope=envelope,
            raw=raw,
        )


_CANCEL = split_version(RunCancelRequested.ce_type)[0]
_CONTROLLING = {_CANCEL, split_version(UserErasureRequested.ce_type)[0]}
"""They travel in the control lane: a message that backs off or a paused stage must not hold them up."""


def identity(source: str, message: str) -> str:
    """A message's identity, as CloudEvents says: source and id together."""
    return hashlib.sha256(f"{source}\0{message}".encode()).hexdigest()


def senders(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """The headers without those in our own words."""
    return [pair for pair in headers if not pair[0].lower().startswith(_OURS)]


def headers_json(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Headers for a jsonb column: text as text, null as null, other bytes as {"base64": …}.

    Nothing is lost but U+0000 in a header's name, which jsonb cannot hold.
    """
    return json.dumps([[name.replace("\0", "\ufffd"), _json_value(value)] for name, value in headers])


def named_twice(headers: str) -> str:
    """The stored headers of a record whose identity came before with other bytes."""
    return json.dumps([*json.loads(headers), [PROBLEM, ""]])


def header(headers: str | list[Any], name: str) -> str | None:
    """A text header of the stored form, the last of that name."""
    pairs = json.loads(headers) if isinstance(headers, str) else headers
    named = [pair for pair in pairs if isinstance(pair, list) and pair[:1] == [name]] if isinstance(pairs, list) else []
    return next((pair[1] for pair in reversed(named) if len(pair) == 2 and isinstance(pair[1], str)), None)


def headers_bytes(headers: str) -> list[tuple[str, bytes | None]]:
    """The original headers of the stored form."""
    return [(name, _bytes_value(value)) for name, value in json.loads(headers)]


def _json_value(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return {"base64": base64.b64encode(value).decode()} if "\0" in text else text  # jsonb cannot hold U+0000


def _bytes_value(value: Any) -> bytes | None:
    if value is None:
        return None
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()


def _match(pattern: re.Pattern[str], text: str) -> str | None:
    return text if pattern.fullmatch(text) else None


def _run_in_body(value: bytes | None) -> str | None:
    try:
        body = json.loads(value or b"")
    except (ValueError, RecursionError):  # deeply nested brackets are bad input as well
        return None
    run = body.get("run_id") if isinstance(body, dict) else None
    return _match(_UUID, run) if isinstance(run, str) else None


def _dead(raw: Raw, envelope: Envelope | None) -> Inbound:
    """A record nobody can handle: kept whole under an identity of its own place in the log."""
    key = (raw.key or b"").decode(errors="replace")
    return Inbound(
        msg_id=identity("unreadable", raw.place),
        lane=UNREADABLE,
        user_id=_match(_USER, key),
        run_id=None,
        type="unreadable" if envelope is None else envelope.type,
        topic=raw.topic,
        value=raw.value or b"",
        headers=headers_json(senders(raw.headers)),
        source="" if envelope is None else envelope.source,
        problem="no readable envelope, user or run",
        envelope=envelope,
        raw=raw,
    )
