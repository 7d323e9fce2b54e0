"""A run as the trainer leaves it: weights in the store, and a whole chain of statements behind them."""

import hashlib
from datetime import UTC, datetime

from tests.publisher.world import REQUEST, WEIGHTS

from lifemask.contracts import TrainingSucceeded, new_id
from lifemask.custody import Chain
from lifemask.custody.steps import (
    DATASET,
    TRAINING,
    UPLOAD,
    VALIDATION,
    DatasetFields,
    DatasetManifest,
    DatasetMember,
    JudgedPhoto,
    TrainingFields,
    TrainingManifest,
    UploadedPhoto,
    UploadFields,
    UploadManifest,
    ValidationFields,
    ValidationManifest,
    WeightsFields,
)
from lifemask.custody.steps import WEIGHTS as WEIGHTS_STEP
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore
from lifemask.testkit.events import an_event

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PHOTOS = tuple(new_id() for _ in range(12))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def trained_run(objects: ObjectStore, run: dict[str, str], weights: bytes = WEIGHTS) -> TrainingSucceeded:
    """Puts weights, request and statements into the store; the event names the weights statement."""
    user_id, run_id = run["user_id"], run["run_id"]
    request = REQUEST.model_dump_json().encode()
    await objects.put(keys.request(user_id, run_id), request)
    await objects.put(keys.weights(user_id, run_id, 1), weights)
    chain = Chain(objects)
    await chain.begin(user_id, run_id)
    digests = {photo: sha256(photo.encode()) for photo in PHOTOS}
    upload = await chain.seal(
        UPLOAD,
        user_id,
        run_id,
        at=AT,
        fields=UploadFields(door="http", count=12, bytes=12_000),
        manifest=UploadManifest(
            request=sha256(request),
            photos=tuple(
                UploadedPhoto(id=photo, sha256=digest, bytes=1000, at="2026-01-02T03:04:05Z")
                for photo, digest in digests.items()
            ),
        ),
    )
    validation = await chain.seal(
        VALIDATION,
        user_id,
        run_id,
        at=AT,
        previous=upload,
        fields=ValidationFields(received=12, usable=12, policy="0" * 64, encoder="pillow"),
        manifest=ValidationManifest(
            pairs=tuple(
                JudgedPhoto(id=photo, original=digest, clean=digest, bytes=900) for photo, digest in digests.items()
            )
        ),
    )
    dataset = await chain.seal(
        DATASET,
        user_id,
        run_id,
        at=AT,
        previous=validation,
        fields=DatasetFields(members=12, bytes=11_000, format="zip"),
        manifest=DatasetManifest(
            archive="1" * 64,
            members=tuple(
                DatasetMember(name=f"{number:02}.jpg", sha256=digest, bytes=900)
                for number, digest in enumerate(digests.values())
            ),
        ),
    )
    training = await chain.seal(
        TRAINING,
        user_id,
        run_id,
        at=AT,
        previous=dataset,
        fields=TrainingFields(
            provider="replicate",
            trainer="ostris/flux-dev-lora-trainer:26dce37a",
            steps=1200,
            rank=32,
            learning_rate="0.0004",
        ),
        manifest=TrainingManifest(archive_key=keys.archive(user_id, run_id, 1), trigger_word="ANNA"),
    )
    statement = await chain.seal(
        WEIGHTS_STEP,
        user_id,
        run_id,
        at=AT,
        previous=training,
        subject=sha256(weights),
        fields=WeightsFields(training="t1", version="v1", bytes=len(weights), fetches=1, echo="matched"),
    )
    return an_event(TrainingSucceeded, **run, statement=statement, attempt=1, bytes=len(weights), cost_usd="1.04")
