"""A run as the trainer leaves it: weights in the store, and a whole chain of statements behind them."""

import hashlib
from datetime import UTC, datetime

from tests.publisher.world import REQUEST, WEIGHTS
from tests.trainer.chain import seal_dataset

from lifemask.contracts import TrainingSucceeded, new_id
from lifemask.custody.steps import TRAINING, TrainingFields, TrainingManifest, WeightsFields
from lifemask.custody.steps import WEIGHTS as WEIGHTS_STEP
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore
from lifemask.testkit.custody import AllServices
from lifemask.testkit.events import an_event

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PHOTOS = tuple(new_id() for _ in range(12))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def trained_run(objects: ObjectStore, run: dict[str, str], weights: bytes = WEIGHTS) -> TrainingSucceeded:
    """Puts weights, request and statements into the store; the event names the weights statement."""
    user_id, run_id = run["user_id"], run["run_id"]
    names = [f"{number:02}.jpg" for number in range(12)]
    dataset = await seal_dataset(objects, user_id, run_id, request=REQUEST, archive=b"zip", names=names, at=AT)
    await objects.put(keys.weights(user_id, run_id, 1), weights)
    chain = AllServices(objects)
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
    return an_event(
        TrainingSucceeded, **run, statement=statement, attempt=1, training="t1", bytes=len(weights), cost_usd="1.04"
    )
