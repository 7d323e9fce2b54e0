"""Whole chains to open, to change and to break."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import rfc8785

from lifemask.contracts import new_id
from lifemask.contracts.keyring import Keyring
from lifemask.contracts.signing import Signer, seal, unseal
from lifemask.custody import Link
from lifemask.custody.envelopes import PAYLOAD_TYPE
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    AnyStep,
    DatasetFields,
    DatasetManifest,
    DatasetMember,
    JudgedPhoto,
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
from lifemask.testkit.custody import AllServices, signer_of
from lifemask.testkit.keys import test_keys
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

    keyring: Keyring = field(default_factory=lambda: test_keys().keyring)

    @property
    def chain(self) -> AllServices:
        return AllServices(self.objects, self.keyring)

    def key(self, step: AnyStep, *, manifest: bool = False) -> Key:
        attempt = self.attempt if step.position >= TRAINING.position else 1
        build = keys.manifest if manifest else keys.statement
        return build(self.user, self.run, step.position, step.name, attempt)

    async def read(self, key: Key) -> bytes:
        return await self.objects.get(key, limit=1 << 20)

    async def payload(self, step: AnyStep) -> bytes:
        """What a statement's signature is about."""
        return unseal(await self.read(self.key(step)), PAYLOAD_TYPE).payload

    async def sign(self, step: AnyStep, payload: bytes, signer: Signer | None = None) -> None:
        """Puts another statement in place, signed by the service that may, or by `signer`."""
        await self.objects.put(self.key(step), seal(PAYLOAD_TYPE, payload, signer or signer_of(step)))

    async def change(self, key: Key, change: Callable[[dict[str, Any]], None]) -> None:
        """Rewrites a file without signature, canonically, as somebody with access to the bucket would."""
        value = json.loads(await self.read(key))
        change(value)
        await self.objects.put(key, rfc8785.dumps(value))

    async def forge(self, step: AnyStep, change: Callable[[dict[str, Any]], None]) -> None:
        """Rewrites a statement as somebody would who has the bucket and the service's key."""
        value = json.loads(await self.payload(step))
        change(value)
        await self.sign(step, rfc8785.dumps(value))

    async def open(self, seen: datetime | None = AT) -> Link[PublicationFields, PublicationManifest]:
        digest = self.digests["publication"]
        return await self.chain.open(PUBLICATION, digest, self.user, self.run, self.attempt, seen=seen)


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
        manifest=TrainingManifest(archive_key=keys.archive(*who, 1), trigger_word="ANN"),
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
        manifest=PublicationManifest(
            store_key=keys.model_weights(made.user, PHOTOS[0], "1-1"),
            metadata=digest_of(b"metadata"),
            repo="o/r",
            card=digest_of(b"card"),
        ),
        subject=WEIGHTS_DIGEST,
        previous=digests["weights"],
        at=at,
        attempt=n,
    )
