"""The chain of a run: each step seals a statement, the next one opens it and everything before it.

Files lie under the run's `custody/` prefix and are written once: the same bytes again are fine, other bytes break
the chain. Errors of the store (Retryable, Misconfigured) pass through; a file that is missing breaks the chain.
"""

import asyncio
import secrets
from datetime import datetime
from typing import Final

from lifemask.custody.broken import CustodyBroken
from lifemask.custody.statements import (
    Common,
    Owner,
    Sha256,
    Statement,
    Subject,
    digest_of,
    read_owner,
    write_manifest,
    write_owner,
    write_statement,
    write_time,
)
from lifemask.custody.steps import AnyStep, F, M, NoManifest, Signed, Step, attempts
from lifemask.custody.verify import Absent, File, Link, Place, check_owner, present, subjects, verify
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectExists, ObjectMissing, ObjectStore, ObjectTooLarge

_LIMIT: Final = 4 << 20
"""Bytes of a custody file; the largest, a manifest of 100 photos, has under 100 KiB."""


class Chain:
    """Seals and opens the statements of all runs in a store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

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
        """Writes the step's statement and returns its digest; the same call again returns the same.

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
        about = tuple(
            Subject(name=name, digest=Sha256(sha256=digest))
            for name, digest in subjects(step, place, file=subject, manifest=hidden)
        )
        payload = write_statement(step, Statement(common, fields, about))
        await self._once(place.statement(step), payload, f"{step.name}: statement")
        return digest_of(payload)

    async def open(self, step: Step[F, M], digest: str, user_id: str, run_id: str, attempt: int = 1) -> Link[F, M]:
        """The statement that `digest` names, after everything down to the upload has been verified.

        That is for each: payload, type, owner, run, attempt, link to the one before, and manifest. All files are
        read at once. Raises CustodyBroken.
        """
        _check_attempt(step, attempt)
        place = Place(user_id, run_id, attempt)
        wanted = tuple(place.files(step))
        files = await asyncio.gather(*(self._file(key) for key in wanted), return_exceptions=True)
        read: dict[Key, File] = {}
        for key, file in zip(wanted, files, strict=True):
            if isinstance(file, BaseException):
                raise file
            read[key] = file
        return verify(step, digest, place, read)

    async def _owner(self, place: Place) -> tuple[Owner, str]:
        file = present(await self._file(place.owner), "owner")
        owner = read_owner(file)
        check_owner(owner, place)
        return owner, digest_of(file)

    async def _once(self, key: Key, data: bytes, where: str) -> None:
        try:
            await self._objects.put(key, data, create_only=True)
        except ObjectExists:
            there = await self._file(key)
            if there != data:
                found = digest_of(there) if isinstance(there, bytes) else None
                raise CustodyBroken(f"{where} exists and differs", expected=digest_of(data), found=found) from None

    async def _file(self, key: Key) -> File:
        try:
            return await self._objects.get(key, limit=_LIMIT)
        except ObjectMissing:
            return Absent.MISSING
        except ObjectTooLarge:
            return Absent.TOO_LARGE


def _check(step: AnyStep, *, manifest: Signed | None, subject: str | None, previous: str | None, attempt: int) -> None:
    """What a caller can get wrong by mistake."""
    _check_attempt(step, attempt)
    if (step.file is None) != (subject is None):
        raise ValueError(f"{step.name}: a subject is given exactly for a step with a file of its own")
    if step.manifest is not NoManifest and manifest is None:
        raise ValueError(f"{step.name}: the manifest is missing")
    if (step.position == 1) != (previous is None):
        raise ValueError(f"{step.name}: only the upload has no statement before it")


def _check_attempt(step: AnyStep, attempt: int) -> None:
    if attempt != attempts(step, attempt):
        raise ValueError(f"{step.name}: attempts are counted from the training on, before it is 1")
