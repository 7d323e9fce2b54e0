"""The chain of a run: each step seals a signed statement, the next one opens it and everything before it.

Files lie under the run's `custody/` prefix and are written once: the same payload again is fine, another one breaks
the chain. Errors of the store (Retryable, Misconfigured) pass through; a file that is missing breaks the chain.
"""

import secrets
from datetime import datetime

from lifemask.contracts.signing import Signer
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.canonical import encode
from lifemask.custody.envelopes import StepKeys, check_signer, read_envelope, write_envelope
from lifemask.custody.reading import Reader, check_attempt
from lifemask.custody.statements import (
    ActCommon,
    Common,
    Owner,
    Sha256,
    Statement,
    Subject,
    digest_of,
    write_manifest,
    write_owner,
    write_statement,
    write_time,
)
from lifemask.custody.steps import Act, AnyStep, F, M, NoManifest, Signed, Step
from lifemask.custody.verify import Place, present, subjects
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectExists, ObjectStore


class Chain(Reader):
    """Seals and opens the statements of all runs in a store, as one holder of a key."""

    def __init__(self, objects: ObjectStore, signer: Signer, keyring: StepKeys) -> None:
        super().__init__(objects, keyring)
        self._signer = signer

    @property
    def actor(self) -> str:
        """Whose key signs here."""
        return self._signer.holder

    async def begin(self, user_id: str, run_id: str) -> None:
        """Makes the run's owner.json with a fresh salt, once. Raises CustodyBroken when there is one of others."""
        place = Place(user_id, run_id)
        owner = Owner(salt=secrets.token_hex(32), user=user_id, run=run_id)
        try:
            await self._objects.put(place.owner, write_owner(owner), create_only=True)
        except ObjectExists:
            await self._owner(place)

    async def commitment(self, user_id: str, run_id: str, sha256: str) -> str:
        """Binds a photo's digest without revealing it; tells nothing once owner.json is erased."""
        owner, _ = await self._owner(Place(user_id, run_id))
        return owner.commitment(sha256)

    async def seal(
        self,
        step: Step[F, M],
        user_id: str,
        run_id: str,
        *,
        fields: F,
        at: datetime,
        manifest: M | None = None,
        subject: str | None = None,
        previous: str | None = None,
        attempt: int = 1,
    ) -> str:
        """Writes the step's signed statement and returns its digest; the same call again returns the same.

        `at` is the time of the message that asks for it, so that a redelivery seals the same bytes. `subject` is
        the SHA-256 of the step's file, for a step that has one. `previous` is the digest of the statement before,
        None for the upload. Raises CustodyBroken when another statement or manifest is there already.
        """
        place = Place(user_id, run_id, attempt)
        _check(step, manifest=manifest, subject=subject, previous=previous, attempt=attempt)
        owner, owner_digest = await self._owner(place)
        hidden: str | None = None
        if step.manifest is not NoManifest and manifest is not None:
            data = write_manifest(manifest, owner.manifest_salt(step, attempt))
            await self._once(place.manifest(step), data, f"{step.name}: manifest")
            hidden = digest_of(data)
        common = Common(owner=owner_digest, run=run_id, attempt=attempt, previous=previous, at=write_time(at))
        about = tuple(_subject(*named) for named in subjects(step, place, file=subject, manifest=hidden))
        payload = write_statement(step, Statement(common, fields, about))
        await self._sign_once(step, place.statement(step), payload, at)
        return digest_of(payload)

    async def record(
        self,
        act: Act[F],
        user_id: str,
        run_id: str,
        name: str,
        *,
        fields: F,
        at: datetime,
        previous: str | None = None,
        subject: tuple[str, str] | None = None,
        attempt: int = 1,
    ) -> str:
        """Writes a signed statement about the run beside its chain and returns its digest.

        `name` tells acts of one kind apart (`package`, `original`). The first one of name and `at` stays: whoever
        does the same again finds it, and gets its digest. `subject` is the name and SHA-256 of what it is about, by
        default the run's owner.json. Raises CustodyBroken when what is there is not ours.
        """
        owner = await self._known_owner(Place(user_id, run_id))
        payload = _act(act, fields, at, owner=owner, run=run_id, previous=previous, subject=subject, attempt=attempt)
        key = keys.act(user_id, run_id, act.name, name, at)
        try:
            await self._objects.put(key, write_envelope(payload, self._signer), create_only=True)
        except ObjectExists:
            return (await self.act(act, key, user_id, run_id, seen=at)).digest
        return digest_of(payload)

    async def record_without_run(self, act: Act[F], key: Key, *, fields: F, at: datetime) -> str:
        """The same about things that never came to a run."""
        payload = _act(act, fields, at, owner=None, run=None)
        await self._sign_once(act, key, payload, at)
        return digest_of(payload)

    async def _known_owner(self, place: Place) -> str | None:
        try:
            return (await self._owner(place))[1]
        except CustodyBroken:  # which may be what the act is about
            return None

    async def _sign_once(self, kind: AnyStep | Act[F], key: Key, payload: bytes, at: datetime) -> None:
        """Any signature that may be on this payload will do: the key may have been rotated since."""
        where = f"{kind.name}: statement"
        try:
            await self._objects.put(key, write_envelope(payload, self._signer), create_only=True)
        except ObjectExists:
            there = read_envelope(kind, present(await self._file(key), where))
            if there.payload != payload:
                link = f"{where} exists and differs"
                raise CustodyBroken(link, expected=digest_of(payload), found=digest_of(there.payload)) from None
            check_signer(kind, there, self._keys, at)

    async def _once(self, key: Key, data: bytes, where: str) -> None:
        try:
            await self._objects.put(key, data, create_only=True)
        except ObjectExists:
            there = await self._file(key)
            if there != data:
                found = digest_of(there) if isinstance(there, bytes) else None
                raise CustodyBroken(f"{where} exists and differs", expected=digest_of(data), found=found) from None


def _act(
    act: Act[F],
    fields: F,
    at: datetime,
    *,
    owner: str | None,
    run: str | None,
    previous: str | None = None,
    subject: tuple[str, str] | None = None,
    attempt: int = 1,
) -> bytes:
    common = ActCommon(owner=owner, run=run, attempt=attempt, previous=previous, at=write_time(at))
    default = ("owner.json", owner) if owner else (act.name, digest_of(encode(fields.model_dump(mode="json"))))
    return write_statement(act, Statement(common, fields, (_subject(*(subject or default)),)))


def _subject(name: str, digest: str) -> Subject:
    return Subject(name=name, digest=Sha256(sha256=digest))


def _check(step: AnyStep, *, manifest: Signed | None, subject: str | None, previous: str | None, attempt: int) -> None:
    """What a caller can get wrong by mistake."""
    check_attempt(step, attempt)
    if (step.file is None) != (subject is None):
        raise ValueError(f"{step.name}: a subject is given exactly for a step with a file of its own")
    if step.manifest is not NoManifest and manifest is None:
        raise ValueError(f"{step.name}: the manifest is missing")
    if (step.position == 1) != (previous is None):
        raise ValueError(f"{step.name}: only the upload has no statement before it")
