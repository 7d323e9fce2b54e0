"""Whether a chain holds: a pure decision over the files of a run's `custody/` prefix, and the keyring.

A statement's place in time is when the next holder of a key saw it: the time in the first later statement that another
holder signed. The last ones' place is the time that the caller gives. What signers say of their own time is not asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, cast

from lifemask.contracts.signing import Sealed
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.contents import check_contents
from lifemask.custody.envelopes import StepKeys, check_signer, check_unwitnessed, holder_of, read_envelope
from lifemask.custody.links import Link
from lifemask.custody.statements import (
    Common,
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
from lifemask.objects.port import File


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


def verify(
    step: Step[F, M],
    digest: str,
    place: Place,
    files: Mapping[Key, File],
    *,
    trusted: StepKeys,
    seen: datetime | None,
) -> Link[F, M]:
    """The link that `digest` names, with all before it. Raises CustodyBroken at the first thing that does not hold.

    `seen`: when the statement of `step` was seen, by the database's clock. None when nobody has but its signer: then
    its own time is believed, unless its key was ever stolen, and the link says so (`witnessed_at` is None).
    """
    owner_file = present(files[place.owner], "owner")
    owner = read_owner(owner_file)
    check_owner(owner, place)
    found = list(_statements(step, digest, place, files, digest_of(owner_file)))
    witnesses = _check_signers(found, trusted, seen)
    link: Link[Signed, Signed] | None = None
    for sealed, witnessed_at in zip(reversed(found), reversed(witnesses), strict=True):
        link = _link(sealed, place, files, owner, witnessed_at=witnessed_at, previous=link)
        check_contents(link, place.user, place.run)
    return cast("Link[F, M]", link)


def check_owner(owner: Owner, place: Place) -> None:
    """Raises CustodyBroken unless the owner's file is of this user and run."""
    if owner.user != place.user:
        raise CustodyBroken("owner is another user")
    if owner.run != place.run:
        raise CustodyBroken("owner is of another run")


class _Found(NamedTuple):
    step: AnyStep
    digest: str
    sealed: Sealed
    statement: Statement[Common]

    @property
    def at(self) -> datetime:
        return read_time(self.statement.common.at, self.step)


def _statements(step: AnyStep, digest: str, place: Place, files: Mapping[Key, File], owner: str) -> Iterator[_Found]:
    """From the newest statement back to the upload, each checked against the digest that names it."""
    for before in reversed(STEPS[: step.position]):
        sealed = read_envelope(before, present(files[place.statement(before)], f"{before.name}: statement"))
        _same(f"{before.name}: statement differs", digest, digest_of(sealed.payload))
        statement = read_statement(before, sealed.payload)
        common = statement.common
        _same(f"{before.name}: owner differs", owner, common.owner)
        if common.run != place.run:
            raise CustodyBroken(f"{before.name}: statement is of another run")
        if common.attempt != attempts(before, place.attempt):
            raise CustodyBroken(f"{before.name}: statement is of another attempt")
        yield _Found(before, digest, sealed, statement)
        if (common.previous is None) != (before is STEPS[0]):
            raise CustodyBroken(f"{before.name}: the chain does not begin at the upload")
        digest = common.previous or ""


def _check_signers(found: Sequence[_Found], trusted: StepKeys, seen: datetime | None) -> list[datetime | None]:
    """When each statement, newest first, was seen by somebody else than its signer. Raises CustodyBroken."""
    witnesses: list[datetime | None] = []
    later: list[tuple[str | None, datetime]] = []
    for one in found:
        holder = holder_of(one.sealed, trusted)
        witnessed_at = next((at for other, at in reversed(later) if other != holder), seen)
        if witnessed_at is None:
            check_unwitnessed(one.step, one.sealed, trusted, one.at)
        else:
            check_signer(one.step, one.sealed, trusted, witnessed_at)
        witnesses.append(witnessed_at)
        later.append((holder, one.at))
    return witnesses


def _link(
    found: _Found,
    place: Place,
    files: Mapping[Key, File],
    owner: Owner,
    *,
    witnessed_at: datetime | None,
    previous: Link[Signed, Signed] | None,
) -> Link[Signed, Signed]:
    step, statement = found.step, found.statement
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
    return Link(
        step=step,
        digest=found.digest,
        fields=statement.fields,
        manifest=manifest,
        subject=named[0][1],
        at=found.at,
        keyid=found.sealed.keyid,
        witnessed_at=witnessed_at,
        previous=previous,
    )


def present(file: File, where: str) -> bytes:
    """The file's bytes. Raises CustodyBroken when there are none."""
    if isinstance(file, bytes):
        return file
    raise CustodyBroken(f"{where} is {file}")


def _same(link: str, expected: str, found: str) -> None:
    if expected != found:
        raise CustodyBroken(link, expected=expected, found=found)
