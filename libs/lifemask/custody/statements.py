"""One statement: an in-toto Statement v1 about the bytes a step produced and the statement it started from.

The payload (RFC 8785 bytes) is what digests and links name. The signed envelope around it changes no link.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from lifemask.contracts import Digest, RunId
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.canonical import NotCanonical, decode, encode, encode_decoded, spells
from lifemask.custody.steps import AnyAct, AnyStep, Signed

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"

S = TypeVar("S", bound=Signed)


class Sha256(Signed):
    """The digest set of a subject: SHA-256 alone."""

    sha256: Digest


class Subject(Signed):
    """A file that the statement is about."""

    name: Annotated[str, Field(max_length=128)]
    digest: Sha256


class Common(Signed):
    """The members that every predicate has. `owner` is the SHA-256 of owner.json, `at` RFC 3339 in UTC."""

    owner: Digest
    run: RunId
    attempt: Annotated[int, Field(ge=1)]
    previous: Digest | None
    at: str


class ActCommon(Signed):
    """The members that every act has. Without a run, `owner` and `run` are null; `owner` also when it is unreadable.

    `previous` is the digest of the statement that the act is about, if it is about one.
    """

    owner: Digest | None
    run: RunId | None
    attempt: Annotated[int, Field(ge=1)]
    previous: Digest | None
    at: str


class _Payload(Signed):
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    predicateType: str  # noqa: N815 # the field's name in in-toto
    predicate: dict[str, Any]
    subject: tuple[Subject, ...]


C = TypeVar("C", Common, ActCommon)


@dataclass(frozen=True, slots=True)
class Statement(Generic[C]):
    """A statement's parts, checked for form but not yet against anything else."""

    common: C
    fields: Signed
    subjects: tuple[Subject, ...]


class Owner(Signed):
    """The run's erasable secret: 32 random bytes in hexadecimal, and whose run it is."""

    salt: Digest
    user: str
    run: RunId

    def manifest_salt(self, step: AnyStep, attempt: int) -> str:
        """HMAC-SHA256 of the step's name and the attempt under the run's salt: hides what a manifest says."""
        return self._keyed(f"{step.name}{attempt}")

    def commitment(self, sha256: str) -> str:
        """HMAC-SHA256 of a photo's digest (64 hexadecimal digits) under the run's salt."""
        return self._keyed(sha256)

    def _keyed(self, text: str) -> str:
        return hmac.digest(bytes.fromhex(self.salt), text.encode(), hashlib.sha256).hex()


def digest_of(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_statement(kind: AnyStep | AnyAct, statement: Statement[C]) -> bytes:
    """The payload."""
    parts = _Payload(
        _type=STATEMENT_TYPE,
        predicateType=kind.predicate_type,
        predicate={**statement.common.model_dump(mode="json"), **statement.fields.model_dump(mode="json")},
        subject=statement.subjects,
    )
    return encode(parts.model_dump(mode="json"))


def read_statement(step: AnyStep, payload: bytes) -> Statement[Common]:
    """The statement in a payload. Raises CustodyBroken when it is not the one spelling of a statement of this step."""
    return _statement(step, Common, payload)


def read_act(act: AnyAct, payload: bytes) -> Statement[ActCommon]:
    """The same for an act."""
    return _statement(act, ActCommon, payload)


def _statement(kind: AnyStep | AnyAct, common: type[C], payload: bytes) -> Statement[C]:
    where = f"{kind.name}: statement"
    parts = _read(_Payload, payload, where)
    if parts.predicateType != kind.predicate_type:
        raise CustodyBroken(f"{where} is of another step")
    shared = {name: value for name, value in parts.predicate.items() if name in common.model_fields}
    own = {name: value for name, value in parts.predicate.items() if name not in common.model_fields}
    found = _model(common, encode_decoded(shared), where)
    read_time(found.at, kind)
    return Statement(found, _model(kind.fields, encode_decoded(own), where), parts.subject)


def write_manifest(manifest: Signed, salt: str) -> bytes:
    """The manifest's file."""
    return encode({"salt": salt, **manifest.model_dump(mode="json")})


def read_manifest(model: type[S], data: bytes, salt: str, where: str) -> S:
    """The manifest in a file with this salt. Raises CustodyBroken."""
    members = _decoded(data, where)
    if members.pop("salt", None) != salt:
        raise CustodyBroken(f"{where} has another salt")
    return _model(model, encode_decoded(members), where)


def write_owner(owner: Owner) -> bytes:
    """The file owner.json."""
    return encode(owner.model_dump(mode="json"))


def read_owner(data: bytes) -> Owner:
    """The owner in its file. Raises CustodyBroken."""
    return _read(Owner, data, "owner")


def write_time(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds. Raises ValueError without a time zone."""
    if at.tzinfo is None:
        raise ValueError("a statement's time needs a time zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str, kind: AnyStep | AnyAct) -> datetime:
    """The time in a statement, which has one spelling. Raises CustodyBroken."""
    try:
        at = datetime.fromisoformat(text)
        if write_time(at) == text:
            return at
    except (ValueError, OverflowError):
        pass
    raise CustodyBroken(f"{kind.name}: statement has no readable time")


def _read(model: type[S], data: bytes, where: str) -> S:
    _decoded(data, where)
    return _model(model, data, where)


def _model(model: type[S], data: bytes, where: str) -> S:
    """A model whose one spelling is `data`: nothing missing, nothing more, nothing coerced."""
    try:
        found = model.model_validate_json(data, strict=True)
    except ValidationError:
        raise CustodyBroken(f"{where} is not of its form") from None
    if not spells(data, found.model_dump(mode="json")):
        raise CustodyBroken(f"{where} is not of its form")
    return found


def _decoded(data: bytes, where: str) -> dict[str, Any]:
    try:
        return decode(data)
    except NotCanonical as error:
        raise CustodyBroken(f"{where} is not canonical: {error}") from None
