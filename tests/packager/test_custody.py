"""The packager on a real chain and a real archive: what it opens, what it seals."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from lifemask.contracts import DatasetSealed, Failure, PhotosValidated, RunFailed, Verdict, new_id
from lifemask.custody.steps import (
    DATASET,
    UPLOAD,
    VALIDATION,
    JudgedPhoto,
    UploadedPhoto,
    UploadFields,
    UploadManifest,
    ValidationFields,
    ValidationManifest,
)
from lifemask.objects import keys
from lifemask.packager.adapters.archive import ZipArchive
from lifemask.packager.adapters.custody import CustodyChain
from lifemask.packager.domain import Member, Minimum
from lifemask.packager.handlers import HANDLERS
from lifemask.testkit.custody import AllServices, chain_of
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.objects import InMemoryObjects
from lifemask.testkit.stepping import step

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Swapping(ZipArchive):
    """A store in which somebody writes right after the packager: `change` makes other bytes of the archive's."""

    def __init__(self, objects: InMemoryObjects, change: Callable[[bytes], bytes | None]) -> None:
        super().__init__(objects)
        self.store, self.change = objects, change

    async def write(self, user_id: str, run_id: str, plan: Sequence[Member]) -> Failure | None:
        failure, key = await super().write(user_id, run_id, plan), keys.archive(user_id, run_id, 1)
        changed = self.change(await self.store.get(key, limit=1 << 20))
        if changed is None:
            await self.store.delete(key)
        else:
            await self.store.put(key, changed)
        return failure


class Validated:
    """A run up to its validation statement: twelve usable photos and one that repeats another."""

    def __init__(self) -> None:
        self.objects = InMemoryObjects()
        self.chain = AllServices(self.objects)
        self.run = a_run()

    async def seal(self, usable: int = 12) -> PhotosValidated:
        user, run = self.run["user_id"], self.run["run_id"]
        pairs = [await self._pair(user, run, number) for number in range(12)]
        pairs.append(JudgedPhoto(id=new_id(), original="e" * 64, verdicts=(Verdict.DUPLICATE,)))
        await self.chain.begin(user, run)
        photos = tuple(UploadedPhoto(id=one.id, sha256=one.original, bytes=9, at=AT.isoformat()) for one in pairs)
        upload = await self.chain.seal(
            UPLOAD,
            user,
            run,
            fields=UploadFields(door="http", count=13, bytes=117),
            manifest=UploadManifest(request="d" * 64, photos=photos),
            at=AT,
        )
        statement = await self.chain.seal(
            VALIDATION,
            user,
            run,
            fields=ValidationFields(received=13, usable=usable, policy="c" * 64, encoder="test"),
            manifest=ValidationManifest(pairs=tuple(pairs)),
            previous=upload,
            at=AT,
        )
        return an_event(PhotosValidated, **self.run, statement=statement, received=13, usable=usable)

    async def _pair(self, user: str, run: str, number: int) -> JudgedPhoto:
        photo, jpeg = new_id(), bytes([number]) * 6000
        await self.objects.put(keys.clean(user, run, photo), jpeg)
        digest = hashlib.sha256(jpeg).hexdigest()
        return JudgedPhoto(id=photo, original=f"{number:064x}", clean=digest, bytes=len(jpeg))

    async def pack(self, event: PhotosValidated, archive: ZipArchive | None = None) -> Any:
        [outcome] = await step(
            HANDLERS,
            event,
            chain=CustodyChain(chain_of(self.objects, "packager")),
            archive=archive or ZipArchive(self.objects),
            minimum=Minimum(12, 60_000),
        )
        return outcome


async def test_the_statement_names_the_archive_in_the_store() -> None:
    validated = Validated()
    event = await validated.seal()
    sealed = await validated.pack(event)
    assert isinstance(sealed, DatasetSealed)
    link = await validated.chain.open(DATASET, sealed.statement, event.user_id, event.run_id)
    data = await validated.objects.get(keys.archive(event.user_id, event.run_id, 1), limit=1 << 20)
    assert link.manifest.archive == hashlib.sha256(data).hexdigest()
    assert (link.fields.members, link.fields.bytes) == (12, len(data)) == (sealed.photos, sealed.bytes)
    assert all(one.name.startswith(event.statement[:8]) for one in link.manifest.members)


async def test_a_redelivery_seals_the_same() -> None:
    validated = Validated()
    event = await validated.seal()
    assert await validated.pack(event) == await validated.pack(event)


async def test_counts_that_differ_break_the_chain() -> None:
    validated = Validated()
    failed = await validated.pack(await validated.seal(usable=13))
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"


@pytest.mark.parametrize("changes", [{"statement": "0" * 64}, {"usable": 13}, {"received": 12}, a_run()])
async def test_an_event_that_the_statement_does_not_back_fails_the_run(changes: dict[str, object]) -> None:
    validated = Validated()
    event = await validated.seal()
    failed = await validated.pack(event.model_copy(update=changes))
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"
    assert keys.archive(event.user_id, event.run_id, 1) not in validated.objects.keys


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        lambda data: data.replace(bytes([3]) * 6000, bytes([4]) * 6000),
        lambda data: data + b"more",
        lambda data: b"more" + data,
        lambda data: data[:-1],
        lambda _: b"another archive",
    ],
    ids=["missing", "differing", "trailing", "leading", "cut", "another"],
)
async def test_an_archive_swapped_before_it_is_read_back_is_broken_custody(
    change: Callable[[bytes], bytes | None],
) -> None:
    validated = Validated()
    event = await validated.seal()
    failed = await validated.pack(event, Swapping(validated.objects, change))
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"
    assert "archive: differs from what was written" in failed.failure.what
    assert not [key for key in validated.objects.keys if "dataset" in key]
