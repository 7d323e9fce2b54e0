"""Opens statements and acts in a store. Needs no private key: services, audits and tests read alike."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic

from lifemask.contracts.signing import Sealed
from lifemask.custody.broken import CustodyBroken
from lifemask.custody.envelopes import StepKeys, check_signer, check_unwitnessed, read_envelope
from lifemask.custody.links import Link
from lifemask.custody.statements import (
    ActCommon,
    Owner,
    Statement,
    digest_of,
    read_act,
    read_owner,
    read_statement,
    read_time,
)
from lifemask.custody.steps import Act, AnyAct, AnyStep, F, M, Step, attempts
from lifemask.custody.verify import Place, check_owner, present, verify
from lifemask.objects.keys import Key
from lifemask.objects.port import Absent, File, ObjectStore

_LIMIT: Final = 4 << 20
"""Bytes of a custody file; the largest, a manifest of 100 photos, has under 100 KiB."""


@dataclass(frozen=True, slots=True)
class Recorded(Generic[F]):
    """A verified act. `subject` is what it is about: a file's name and its SHA-256."""

    digest: str
    common: ActCommon
    fields: F
    subject: tuple[str, str]
    at: datetime
    keyid: str


class Reader:
    """The statements of all runs in a store, verified against a keyring."""

    def __init__(self, objects: ObjectStore, keys: StepKeys) -> None:
        self._objects = objects
        self._keys = keys

    async def open(
        self,
        step: Step[F, M],
        digest: str,
        user_id: str,
        run_id: str,
        attempt: int = 1,
        *,
        seen: datetime | None,
    ) -> Link[F, M]:
        """The statement that `digest` names, after everything down to the upload has been verified.

        That is for each: signature, payload, type, owner, run, attempt, link to the one before, manifest, and whether
        its contents fit the one before. `seen` is the time of the message that brought the digest, by the database's
        clock; None, for audits alone, when there is none. All files are read at once. Raises CustodyBroken.
        """
        check_attempt(step, attempt)
        place = Place(user_id, run_id, attempt)
        files = await self._objects.get_each(place.files(step), limit=_LIMIT)
        return verify(step, digest, place, files, trusted=self._keys, seen=seen)

    async def is_sealed(self, step: AnyStep, user_id: str, run_id: str, attempt: int = 1) -> bool:
        """Whether a statement of the step is there, whatever it says."""
        return await self._objects.head(Place(user_id, run_id, attempt).statement(step)) is not None

    async def there(
        self, step: Step[F, M], user_id: str, run_id: str, attempt: int = 1, *, seen: datetime
    ) -> Link[F, M] | None:
        """The statement that lies in the place of `step`, verified as `open` does; None when there is none.

        For a service that asks whether it has sealed before. Raises CustodyBroken.
        """
        file = await self._file(Place(user_id, run_id, attempt).statement(step))
        if file is Absent.MISSING:
            return None
        digest = digest_of(read_envelope(step, present(file, f"{step.name}: statement")).payload)
        return await self.open(step, digest, user_id, run_id, attempt, seen=seen)

    async def signed_file(
        self, step: AnyStep, digest: str, user_id: str, run_id: str, attempt: int = 1, *, seen: datetime | None
    ) -> tuple[str, bytes]:
        """Name and bytes of the file that holds the statement `digest`, to be given to others. Raises CustodyBroken.

        The signature is verified again, since the file may have changed since `open`; `seen` is the link's
        `witnessed_at`.
        """
        key = Place(user_id, run_id, attempt).statement(step)
        data = present(await self._file(key), f"{step.name}: statement")
        sealed = read_envelope(step, data)
        if (found := digest_of(sealed.payload)) != digest:
            raise CustodyBroken(f"{step.name}: statement differs", expected=digest, found=found)
        self._check(step, sealed, seen, claimed=read_time(read_statement(step, sealed.payload).common.at, step))
        return key.rpartition("/")[2], data

    async def act(self, act: Act[F], key: Key, user_id: str, run_id: str, *, seen: datetime | None) -> Recorded[F]:
        """The act in a file, verified; `seen` as for `open`. Raises CustodyBroken."""
        sealed = read_envelope(act, present(await self._file(key), f"{act.name}: statement"))
        statement = read_act(act, sealed.payload)
        at = read_time(statement.common.at, act)
        self._check(act, sealed, seen, claimed=at)
        await self._fits(act, statement, Place(user_id, run_id))
        fields = statement.fields
        assert isinstance(fields, act.fields)
        [subject] = statement.subjects
        return Recorded(
            digest_of(sealed.payload),
            statement.common,
            fields,
            (subject.name, subject.digest.sha256),
            at,
            sealed.keyid,
        )

    def _check(self, kind: AnyStep | AnyAct, sealed: Sealed, seen: datetime | None, *, claimed: datetime) -> None:
        if seen is None:
            check_unwitnessed(kind, sealed, self._keys, claimed)
        else:
            check_signer(kind, sealed, self._keys, seen)

    async def _fits(self, act: Act[F], statement: Statement[ActCommon], place: Place) -> None:
        """An owner that is lost or erased leaves nothing to compare with."""
        common = statement.common
        if common.run != place.run:
            raise CustodyBroken(f"{act.name}: statement is of another run")
        if len(statement.subjects) != 1:
            raise CustodyBroken(f"{act.name}: statement is about other files")
        file = await self._file(place.owner)
        if isinstance(file, bytes) and common.owner not in {None, digest_of(file)}:
            raise CustodyBroken(f"{act.name}: owner differs", expected=digest_of(file), found=common.owner)

    async def _owner(self, place: Place) -> tuple[Owner, str]:
        file = present(await self._file(place.owner), "owner")
        owner = read_owner(file)
        check_owner(owner, place)
        return owner, digest_of(file)

    async def _file(self, key: Key) -> File:
        return (await self._objects.get_each([key], limit=_LIMIT))[key]


def check_attempt(step: Step[F, M], attempt: int) -> None:
    """Raises ValueError for an attempt that the step does not count."""
    if attempt != attempts(step, attempt):
        raise ValueError(f"{step.name}: attempts are counted from the training on, before it is 1")
