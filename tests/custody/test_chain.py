"""Sealing and opening whole chains: what holds, what is idempotent, and every way to break one."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import new_id
from lifemask.custody import Chain, CustodyBroken, Link
from lifemask.custody.hashing import Hashed
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    STEPS,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    AnyStep,
    DatasetFields,
    DatasetManifest,
    DatasetMember,
    JudgedPhoto,
    NoManifest,
    PublicationFields,
    PublicationManifest,
    TrainingFields,
    TrainingManifest,
    UploadedPhoto,
    UploadFields,
    UploadManifest,
    ValidationFields,
    ValidationManifest,
    WeightsFields,
)
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.testkit.objects import InMemoryObjects

ANN, BOB = "acme.ann", "acme.bob"
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
PHOTOS = tuple(new_id() for _ in range(12))
WEIGHTS_DIGEST = digest_of(b"weights")


@dataclass
class Run:
    """One user's run and the digests of its statements by step name."""

    objects: InMemoryObjects
    user: str
    run: str
    attempt: int
    digests: dict[str, str]

    @property
    def chain(self) -> Chain:
        return Chain(self.objects)

    def key(self, step: AnyStep, *, manifest: bool = False) -> Key:
        attempt = self.attempt if step.position >= TRAINING.position else 1
        build = keys.manifest if manifest else keys.statement
        return build(self.user, self.run, step.position, step.name, attempt)

    async def read(self, key: Key) -> bytes:
        return await self.objects.get(key, limit=1 << 20)

    async def change(self, key: Key, change: Callable[[dict[str, Any]], None]) -> None:
        """Rewrites a file, canonically, as somebody with access to the bucket would."""
        value = json.loads(await self.read(key))
        change(value)
        await self.objects.put(key, rfc8785.dumps(value))

    async def open(self) -> Link[PublicationFields, PublicationManifest]:
        return await self.chain.open(PUBLICATION, self.digests["publication"], self.user, self.run, self.attempt)


def uploaded() -> UploadManifest:
    photos = (UploadedPhoto(id=photo, sha256=digest_of(photo.encode()), bytes=1000, at="…") for photo in PHOTOS)
    return UploadManifest(request=digest_of(b"request"), photos=tuple(photos))


def judged() -> ValidationManifest:
    pairs = (JudgedPhoto(id=p, original=digest_of(p.encode()), clean=digest_of(b"c"), bytes=5) for p in PHOTOS)
    return ValidationManifest(pairs=tuple(pairs))


async def sealed(user: str = ANN, objects: InMemoryObjects | None = None, run: str = "", attempt: int = 1) -> Run:
    """A whole chain of `user`."""
    made = Run(objects or InMemoryObjects(), user, run or new_id(), attempt, {})
    await made.chain.begin(made.user, made.run)
    await seal_set(made)
    await seal_training(made)
    return made


async def seal_set(made: Run, at: datetime = AT) -> None:
    chain, who, digests = made.chain, (made.user, made.run), made.digests
    upload = UploadFields(door="http", count=12, bytes=12_000)
    digests["upload"] = await chain.seal(UPLOAD, *who, fields=upload, manifest=uploaded(), at=at)
    validation = ValidationFields(received=12, usable=12, policy=digest_of(b"policy"), encoder="pillow 13")
    digests["validation"] = await chain.seal(
        VALIDATION, *who, fields=validation, manifest=judged(), previous=digests["upload"], at=at
    )
    members = tuple(DatasetMember(name=f"{n:02}.jpg", sha256=digest_of(b"c"), bytes=5) for n in range(12))
    digests["dataset"] = await chain.seal(
        DATASET,
        *who,
        fields=DatasetFields(members=12, bytes=60, format="zip stored"),
        manifest=DatasetManifest(archive=digest_of(b"zip"), members=members),
        previous=digests["validation"],
        at=at,
    )


async def seal_training(made: Run, at: datetime = AT) -> None:
    chain, who, digests, n = made.chain, (made.user, made.run), made.digests, made.attempt
    training = TrainingFields(provider="replicate", trainer="o/m:1", steps=1000, rank=16, learning_rate="0.0004")
    digests["training"] = await chain.seal(
        TRAINING,
        *who,
        fields=training,
        manifest=TrainingManifest(archive_key="k", trigger_word="ANN"),
        previous=digests["dataset"],
        at=at,
        attempt=n,
    )
    weights = WeightsFields(training="t1", version="v1", bytes=7, fetches=1, echo="matched")
    digests["weights"] = await chain.seal(
        WEIGHTS, *who, fields=weights, subject=WEIGHTS_DIGEST, previous=digests["training"], at=at, attempt=n
    )
    digests["publication"] = await chain.seal(
        PUBLICATION,
        *who,
        fields=PublicationFields(model=PHOTOS[0], version="1-1", hub_commit="c0", read_back=("store", "hub")),
        manifest=PublicationManifest(store_key="k", repo="o/r"),
        subject=WEIGHTS_DIGEST,
        previous=digests["weights"],
        at=at,
        attempt=n,
    )


@pytest.fixture
async def ann() -> Run:
    return await sealed()


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


async def test_digests_are_of_the_files(ann: Run) -> None:
    for step in STEPS:
        assert digest_of(await ann.read(ann.key(step))) == ann.digests[step.name]


async def test_statements_name_nobody(ann: Run) -> None:
    for step in STEPS:
        payload = await ann.read(ann.key(step))
        assert not [word for word in (b"ann", b"acme", PHOTOS[3].encode(), b"ANN") if word in payload]


async def test_a_statement_reads_as_documented() -> None:
    run = await sealed(run="0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f")
    payload = await run.read(run.key(WEIGHTS))
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


# --- every way to break it -------------------------------------------------------------------------------------------


async def breaks(run: Run, link: str) -> CustodyBroken:
    with pytest.raises(CustodyBroken) as broken:
        await run.open()
    assert broken.value.link == link
    assert "acme" not in str(broken.value)
    return broken.value


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_a_changed_statement_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    ann.objects.tampers(ann.key(step))
    broken = await breaks(ann, f"{step.name}: statement differs")
    assert broken.expected == ann.digests[step.name] != broken.found


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_a_lost_statement_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    ann.objects.loses(ann.key(step))
    await breaks(ann, f"{step.name}: statement is missing")


@pytest.mark.parametrize("step", [s for s in STEPS if s is not WEIGHTS], ids=lambda step: step.name)
async def test_a_changed_manifest_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    ann.objects.tampers(ann.key(step, manifest=True))
    await breaks(ann, f"{step.name}: manifest differs")


@pytest.mark.parametrize("step", [s for s in STEPS if s is not WEIGHTS], ids=lambda step: step.name)
async def test_a_lost_manifest_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    ann.objects.loses(ann.key(step, manifest=True))
    await breaks(ann, f"{step.name}: manifest is missing")


async def test_a_lost_owner_breaks_the_chain(ann: Run) -> None:
    ann.objects.loses(keys.owner(ANN, ann.run))
    await breaks(ann, "owner is missing")


@pytest.mark.parametrize(
    ("member", "value", "link"),
    [
        ("user", BOB, "owner is another user"),
        ("run", PHOTOS[0], "owner is of another run"),
        ("salt", "0" * 64, "publication: owner differs"),
        ("salt", "0", "owner is not of its form"),
        ("more", 1, "owner is not of its form"),
        ("salt", 1.5, "owner is not canonical: a number is not an integer"),
    ],
)
async def test_a_changed_owner_breaks_the_chain(ann: Run, member: str, value: object, link: str) -> None:
    await ann.change(keys.owner(ANN, ann.run), lambda owner: owner.update({member: value}))
    await breaks(ann, link)


async def copied(source: Run, target: Run) -> None:
    """All of `source`'s custody files under the prefix of `target`."""
    old, new = keys.run_prefix(source.user, source.run), keys.run_prefix(target.user, target.run)
    for key in [key for key in source.objects.keys if key.startswith(old)]:
        await target.objects.put(Key(key.replace(old, new)), await source.read(key))


async def test_another_users_chain_is_not_mine(ann: Run) -> None:
    bob = Run(ann.objects, BOB, new_id(), 1, dict(ann.digests))
    await copied(ann, bob)
    await breaks(bob, "owner is another user")
    await ann.objects.delete(keys.owner(BOB, bob.run))
    await bob.chain.begin(BOB, bob.run)
    await breaks(bob, "publication: owner differs")


async def test_another_runs_chain_is_not_this_ones(ann: Run) -> None:
    later = Run(ann.objects, ANN, new_id(), 1, dict(ann.digests))
    await copied(ann, later)
    await breaks(later, "owner is of another run")


async def test_begin_refuses_an_owner_of_others(ann: Run) -> None:
    bob = Run(ann.objects, BOB, ann.run, 1, {})
    await copied(ann, bob)
    with pytest.raises(CustodyBroken, match="owner is another user"):
        await bob.chain.begin(BOB, bob.run)
    with pytest.raises(CustodyBroken, match="owner is another user"):
        await bob.chain.commitment(BOB, bob.run, digest_of(b"photo"))


async def forged(run: Run, step: AnyStep, change: Callable[[dict[str, Any]], None]) -> Run:
    """The statement changed and every later one made to fit, as somebody would who can write and seal."""
    await run.change(run.key(step), change)
    for index in range(step.position - 1, len(STEPS)):
        digest = digest_of(await run.read(run.key(STEPS[index])))
        run.digests[STEPS[index].name] = digest
        if index + 1 < len(STEPS):
            await run.change(run.key(STEPS[index + 1]), lambda s: s["predicate"].update(previous=digest))  # noqa: B023 # used at once
    return run


def predicate(**members: object) -> Callable[[dict[str, Any]], None]:
    return lambda statement: statement["predicate"].update(members)


def statement(**members: object) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update(members)


FIT = {"name": "2-validation-1.manifest.json", "digest": {"sha256": "0" * 64}}
FORGERIES: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (predicate(owner="0" * 64), "owner differs"),
    (predicate(run=PHOTOS[0]), "statement is of another run"),
    (predicate(attempt=2), "statement is of another attempt"),
    (predicate(attempt=0), "statement is not of its form"),
    (predicate(attempt="1"), "statement is not of its form"),
    (predicate(attempt=True), "statement is not of its form"),
    (predicate(attempt=1.5), "statement is not canonical: a number is not an integer"),
    (predicate(previous=None), "the chain does not begin at the upload"),
    (predicate(previous="x"), "statement is not of its form"),
    (predicate(at="yesterday"), "statement has no readable time"),
    (predicate(more=1), "statement is not of its form"),
    (predicate(usable="12"), "statement is not of its form"),
    (lambda s: s["predicate"].pop("usable"), "statement is not of its form"),
    (lambda s: s["predicate"].pop("owner"), "statement is not of its form"),
    (statement(more=1), "statement is not of its form"),
    (statement(_type="https://in-toto.io/Statement/v0.1"), "statement is not of its form"),
    (statement(predicateType="https://lifemask.dev/custody/dataset/v1"), "statement is of another step"),
    (statement(predicateType="https://lifemask.dev/custody/validation/v2"), "statement is of another step"),
    (statement(subject=[]), "statement is about other files"),
    (statement(subject=[FIT]), "manifest differs"),
    (lambda s: s["subject"].insert(0, FIT), "statement is about other files"),
    (lambda s: s["subject"][0].update(name="2-validation-2.manifest.json"), "statement is about other files"),
    (lambda s: s["subject"][0]["digest"].update(md5="0"), "statement is not of its form"),
]


@pytest.mark.parametrize(("change", "link"), FORGERIES, ids=[f"{n}-{link}" for n, (_, link) in enumerate(FORGERIES)])
async def test_a_forged_statement_that_all_later_ones_fit_breaks_the_chain(
    ann: Run, change: Callable[[dict[str, Any]], None], link: str
) -> None:
    await breaks(await forged(ann, VALIDATION, change), f"validation: {link}")


async def test_an_upload_that_follows_something_breaks_the_chain(ann: Run) -> None:
    run = await forged(ann, UPLOAD, predicate(previous="0" * 64))
    await breaks(run, "upload: the chain does not begin at the upload")


async def test_a_true_statement_of_another_attempt_breaks_the_chain(ann: Run) -> None:
    second = Run(ann.objects, ANN, ann.run, 2, dict(ann.digests))
    await seal_training(second)
    for step in (TRAINING, WEIGHTS, PUBLICATION):
        await ann.objects.put(ann.key(step), await second.read(second.key(step)))
    ann.digests = second.digests
    await breaks(ann, "publication: statement is of another attempt")


async def rewritten(run: Run, data: bytes) -> None:
    """Other bytes for the upload's manifest, with a chain that fits them."""
    await run.objects.put(run.key(UPLOAD, manifest=True), data)
    await forged(run, UPLOAD, lambda s: s["subject"][0]["digest"].update(sha256=digest_of(data)))


async def test_a_manifest_is_read_strictly(ann: Run) -> None:
    good = await ann.read(ann.key(UPLOAD, manifest=True))
    bad = {
        good + b"\n": "is not canonical: JSON, but not in its RFC 8785 form",
        good.replace(b'{"at"', b'{ "at"', 1): "is not canonical: JSON, but not in its RFC 8785 form",
        good.replace(b'"request"', b'"request":"","request"', 1): "is not canonical: a member appears twice",
        good.replace(b":1000,", b":1000.0,", 1): "is not canonical: a number is not an integer",
        good.replace(b":1000,", b":9007199254740992,", 1): "is not canonical: an integer is 2^53 or more",
        good.replace(b'"salt":"', b'"salt":"0', 1): "has another salt",
        good.replace(b'{"photos"', b'{"more":1,"photos"', 1): "is not of its form",
        b"[]": "is not canonical: not a JSON object",
        b"\xff": "is not canonical: not JSON in UTF-8",
    }
    for data, link in bad.items():
        await rewritten(ann, data)
        await breaks(ann, f"upload: manifest {link}")
    await rewritten(ann, good)
    await ann.open()


async def test_a_manifest_of_another_run_is_refused_though_everything_fits(ann: Run) -> None:
    other = await sealed()
    await rewritten(ann, await other.read(other.key(UPLOAD, manifest=True)))
    await breaks(ann, "upload: manifest has another salt")


async def test_an_enormous_file_breaks_the_chain(ann: Run) -> None:
    await ann.objects.put(ann.key(DATASET, manifest=True), b"x" * (5 << 20))
    await breaks(ann, "dataset: manifest is too large")


# --- the store's own trouble passes through --------------------------------------------------------------------------


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


# --- mistakes of a caller --------------------------------------------------------------------------------------------


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
