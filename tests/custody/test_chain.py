"""Sealing and opening whole chains: what holds, what is idempotent, what passes through."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.custody.runs import (
    ANN,
    AT,
    BOB,
    PHOTOS,
    WEIGHTS_DIGEST,
    Run,
    judged,
    seal_set,
    seal_training,
    sealed,
    uploaded,
)

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import new_id
from lifemask.custody import CustodyBroken
from lifemask.custody.hashing import Hashed
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    STEPS,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    NoManifest,
    UploadFields,
    UploadManifest,
    WeightsFields,
)
from lifemask.objects import keys
from lifemask.testkit.objects import InMemoryObjects


async def test_a_chain_opens_down_to_the_upload(ann: Run) -> None:
    link = await ann.open()
    assert (link.subject, link.digest, link.at) == (WEIGHTS_DIGEST, ann.digests["publication"], AT)
    assert link.fields.hub_commit == "c0"
    assert link.manifest.repo == "o/r"
    assert link.back(PUBLICATION) is link
    assert link.back(WEIGHTS).manifest == NoManifest()
    assert link.back(WEIGHTS).subject == WEIGHTS_DIGEST
    assert link.back(VALIDATION).manifest == judged()
    upload = link.back(UPLOAD)
    assert upload.manifest.photos[3].id == PHOTOS[3]
    assert upload.subject == digest_of(await ann.read(ann.key(UPLOAD, manifest=True)))
    assert upload.previous is None
    with pytest.raises(LookupError):
        upload.back(DATASET)


async def test_digests_are_of_what_is_signed(ann: Run) -> None:
    for step in STEPS:
        assert digest_of(await ann.payload(step)) == ann.digests[step.name]


async def test_statements_name_nobody(ann: Run) -> None:
    for step in STEPS:
        payload = await ann.payload(step)
        assert not [word for word in (b"ann", b"acme", PHOTOS[3].encode(), b"ANN") if word in payload]


async def test_a_statement_reads_as_documented() -> None:
    run = await sealed(run="0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f")
    payload = await run.payload(WEIGHTS)
    owner = digest_of(await run.read(keys.owner(ANN, run.run)))
    assert payload.decode() == (
        '{"_type":"https://in-toto.io/Statement/v1","predicate":{"at":"2026-01-02T03:04:05.678901Z","attempt":1,'
        f'"bytes":7,"echo":"matched","fetches":1,"owner":"{owner}","previous":"{run.digests["training"]}",'
        '"run":"0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f","training":"t1","version":"v1"},'
        '"predicateType":"https://lifemask.dev/custody/weights/v1",'
        f'"subject":[{{"digest":{{"sha256":"{WEIGHTS_DIGEST}"}},"name":"lora.safetensors"}}]}}'
    )


async def test_the_same_seal_again_is_the_same(ann: Run) -> None:
    before = dict(ann.digests)
    stored = {key: await ann.read(key) for key in ann.objects.keys}
    await ann.chain.begin(ANN, ann.run)
    await seal_set(ann, AT.astimezone(tz=datetime.now().astimezone().tzinfo))
    await seal_training(ann)
    assert ann.digests == before
    assert {key: await ann.read(key) for key in ann.objects.keys} == stored


async def test_another_seal_is_refused(ann: Run) -> None:
    with pytest.raises(CustodyBroken, match="upload: statement exists and differs") as broken:
        await seal_set(ann, AT + timedelta(seconds=1))
    assert broken.value.expected != broken.value.found == ann.digests["upload"]
    other = UploadManifest(request=digest_of(b"another"), photos=())
    fields = UploadFields(door="http", count=12, bytes=12_000)
    with pytest.raises(CustodyBroken, match="upload: manifest exists and differs"):
        await ann.chain.seal(UPLOAD, ANN, ann.run, fields=fields, manifest=other, at=AT)
    await ann.open()


async def test_two_who_seal_at_once_agree() -> None:
    run = Run(InMemoryObjects(), ANN, new_id(), 1, {})
    await asyncio.gather(*(run.chain.begin(ANN, run.run) for _ in range(4)))
    fields = UploadFields(door="kafka", count=12, bytes=12_000)
    seals = (run.chain.seal(UPLOAD, ANN, run.run, fields=fields, manifest=uploaded(), at=AT) for _ in range(4))
    assert len(set(await asyncio.gather(*seals))) == 1


async def test_each_training_attempt_has_a_branch_of_its_own(ann: Run) -> None:
    second = Run(ann.objects, ANN, ann.run, 2, dict(ann.digests))
    await seal_training(second)
    assert second.digests["training"] != ann.digests["training"]
    assert (await second.open()).back(UPLOAD) == (await ann.open()).back(UPLOAD)
    with pytest.raises(CustodyBroken, match="publication: statement differs"):
        await ann.chain.open(PUBLICATION, ann.digests["publication"], ANN, ann.run, 2)


async def test_commitments_bind_a_photo_under_the_runs_salt(ann: Run) -> None:
    other = await sealed()
    photo = digest_of(b"photo")
    mine = await ann.chain.commitment(ANN, ann.run, photo)
    assert mine == await ann.chain.commitment(ANN, ann.run, photo)
    assert mine not in {photo, await other.chain.commitment(ANN, other.run, photo)}
    assert mine != await ann.chain.commitment(ANN, ann.run, digest_of(b"another"))


async def test_equal_photos_of_two_users_share_nothing(ann: Run) -> None:
    bob = await sealed(BOB, ann.objects)
    assert (await ann.open()).back(UPLOAD).manifest == (await bob.open()).back(UPLOAD).manifest
    assert not set(ann.digests.values()) & set(bob.digests.values())
    assert (await ann.open()).back(UPLOAD).subject != (await bob.open()).back(UPLOAD).subject


@pytest.mark.parametrize("act", [lambda r: r.open(), lambda r: r.chain.begin(ANN, r.run), seal_set])
async def test_a_store_that_is_away_breaks_no_chain(ann: Run, act: Callable[[Run], Awaitable[Any]]) -> None:
    ann.objects.loses(ann.key(UPLOAD))
    ann.objects.away()
    with pytest.raises(Retryable):
        await act(ann)


async def test_a_store_that_refuses_us_breaks_no_chain(ann: Run) -> None:
    ann.objects.denies("GetObject")
    with pytest.raises(Misconfigured, match=r"s3:GetObject denied on memory/users/…"):
        await ann.open()


async def test_mistakes_of_a_caller_are_errors(ann: Run) -> None:
    chain, fields = ann.chain, UploadFields(door="http", count=1, bytes=1)
    weights = WeightsFields(training="t", version="v", bytes=1, fetches=1, echo="unbound")
    with pytest.raises(ValueError, match="the manifest is missing"):
        await chain.seal(UPLOAD, ANN, ann.run, fields=fields, at=AT)
    with pytest.raises(ValueError, match="a file of its own"):
        await chain.seal(UPLOAD, ANN, ann.run, fields=fields, manifest=uploaded(), subject="0" * 64, at=AT)
    with pytest.raises(ValueError, match="a file of its own"):
        await chain.seal(WEIGHTS, ANN, ann.run, fields=weights, previous="0" * 64, at=AT)
    with pytest.raises(ValueError, match="no statement before it"):
        await chain.seal(WEIGHTS, ANN, ann.run, fields=weights, subject="0" * 64, at=AT)
    with pytest.raises(ValueError, match="before it is 1"):
        await chain.open(DATASET, ann.digests["dataset"], ANN, ann.run, 2)
    with pytest.raises(ValueError, match="time zone"):
        await chain.seal(UPLOAD, ANN, ann.run, fields=fields, manifest=uploaded(), at=AT.replace(tzinfo=None))


async def test_a_stream_is_hashed_while_it_passes() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"wei"
        yield b"ghts"

    hashed = Hashed(chunks())
    assert [chunk async for chunk in hashed] == [b"wei", b"ghts"]
    assert (hashed.bytes, hashed.sha256) == (7, WEIGHTS_DIGEST)
    assert (await Hashed(chunks()).drain()).sha256 == WEIGHTS_DIGEST
