"""Whether a chain holds: a pure decision over the files of a run's `custody/` prefix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar, cast

from lifemask.custody.broken import CustodyBroken
from lifemask.custody.statements import (
    Owner,
    Statement,
    digest_of,
    read_manifest,
    read_owner,
    read_statement,
    read_time,
)
from lifemask.custody.steps import STEPS, AnyStep, F, M, NoManifest, Signed, Step, attempts
from lifemask.objects import keys
from lifemask.objects.keys import Key

F_co = TypeVar("F_co", bound=Signed, covariant=True)
M_co = TypeVar("M_co", bound=Signed, covariant=True)


@dataclass(frozen=True, slots=True)
class Link(Generic[F_co, M_co]):
    """A verified statement. `subject` is the SHA-256 of the step's file, or of its manifest when it has no file."""

    step: AnyStep
    digest: str
    fields: F_co
    manifest: M_co
    subject: str
    at: datetime
    previous: "Link[Signed, Signed] | None"

    def back(self, step: Step[F, M]) -> "Link[F, M]":
        """Returns this link or the one before it that is of `step`. Raises LookupError for a step that comes later."""
        link: Link[Signed, Signed] | None = self
        while link is not None:
            if link.step is step:
                return cast("Link[F, M]", link)
            link = link.previous
        raise LookupError(f"the chain ends before {step.name}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain lies: whose, which run, which training attempt."""

    user: str
    run: str
    attempt: int = 1

    @property
    def owner(self) -> Key:
        return keys.owner(self.user, self.run)

    def statement(self, step: AnyStep) -> Key:
        return keys.statement(self.user, self.run, step.position, step.name, attempts(step, self.attempt))

    def manifest(self, step: AnyStep) -> Key:
        return keys.manifest(self.user, self.run, step.position, step.name, attempts(step, self.attempt))

    def files(self, step: AnyStep) -> Iterator[Key]:
        """All files that the chain down from `step` consists of."""
        yield self.owner
        for before in STEPS[: step.position]:
            yield self.statement(before)
            if before.manifest is not NoManifest:
                yield self.manifest(before)


def subjects(step: AnyStep, place: Place, *, file: str | None, manifest: str | None) -> tuple[tuple[str, str], ...]:
    """Name and SHA-256 of what a statement is about: the step's file, the step's manifest, or both."""
    named = ((step.file, file), (place.manifest(step).rpartition("/")[2], manifest))
    return tuple((name, digest) for name, digest in named if name is not None and digest is not None)


class Absent(StrEnum):
    """Why a file gives no bytes."""

    MISSING = "missing"
    TOO_LARGE = "too large"


File = bytes | Absent


def verify(step: Step[F, M], digest: str, place: Place, files: Mapping[Key, File]) -> Link[F, M]:
    """The link that `digest` names, with all before it. Raises CustodyBroken at the first thing that does not hold."""
    owner_file = present(files[place.owner], "owner")
    owner = read_owner(owner_file)
    check_owner(owner, place)
    found = list(_statements(step, digest, place, files, digest_of(owner_file)))
    link: Link[Signed, Signed] | None = None
    for sealed in reversed(found):
        link = _link(sealed, place, files, owner, link)
    return cast("Link[F, M]", link)


def check_owner(owner: Owner, place: Place) -> None:
    """Raises CustodyBroken unless the owner's file is of this user and run."""
    if owner.user != place.user:
        raise CustodyBroken("owner is another user")
    if owner.run != place.run:
        raise CustodyBroken("owner is of another run")


class _Sealed(NamedTuple):
    step: AnyStep
    digest: str
    statement: Statement


def _statements(step: AnyStep, digest: str, place: Place, files: Mapping[Key, File], owner: str) -> Iterator[_Sealed]:
    """From the newest statement back to the upload, each checked against the digest that names it."""
    for before in reversed(STEPS[: step.position]):
        payload = present(files[place.statement(before)], f"{before.name}: statement")
        _same(f"{before.name}: statement differs", digest, digest_of(payload))
        statement = read_statement(before, payload)
        common = statement.common
        _same(f"{before.name}: owner differs", owner, common.owner)
        if common.run != place.run:
            raise CustodyBroken(f"{before.name}: statement is of another run")
        if common.attempt != attempts(before, place.attempt):
            raise CustodyBroken(f"{before.name}: statement is of another attempt")
        yield _Sealed(before, digest, statement)
        if (common.previous is None) != (before is STEPS[0]):
            raise CustodyBroken(f"{before.name}: the chain does not begin at the upload")
        digest = common.previous or ""


def _link(
    sealed: _Sealed, place: Place, files: Mapping[Key, File], owner: Owner, previous: Link[Signed, Signed] | None
) -> Link[Signed, Signed]:
    step, digest, statement = sealed
    where = f"{step.name}: manifest"
    manifest: Signed = NoManifest()
    named = tuple((subject.name, subject.digest.sha256) for subject in statement.subjects)
    hidden: str | None = None
    if step.manifest is not NoManifest:
        data = present(files[place.manifest(step)], where)
        hidden = digest_of(data)
        if named:
            _same(f"{where} differs", named[-1][1], hidden)
        manifest = read_manifest(step.manifest, data, owner.manifest_salt(step, statement.common.attempt), where)
    file = named[0][1] if named else None
    if named != subjects(step, place, file=file, manifest=hidden):
        raise CustodyBroken(f"{step.name}: statement is about other files")
    at = read_time(statement.common.at, step)
    return Link(step, digest, statement.fields, manifest, named[0][1], at, previous)


def present(file: File, where: str) -> bytes:
    """The file's bytes. Raises CustodyBroken when there are none."""
    if isinstance(file, bytes):
        return file
    raise CustodyBroken(f"{where} is {file}")


def _same(link: str, expected: str, found: str) -> None:
    if expected != found:
        raise CustodyBroken(link, expected=expected, found=found)
