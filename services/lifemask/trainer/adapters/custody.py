"""The chain of statements before a training, and the two that the trainer seals."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

from lifemask.contracts import DatasetSealed, Digest, Failure
from lifemask.custody import Chain, CustodyBroken, sealed_request
from lifemask.custody.contents import ARCHIVE
from lifemask.custody.hashing import Hashed
from lifemask.custody.steps import DATASET, TRAINING, UPLOAD, WEIGHTS, TrainingFields, TrainingManifest, WeightsFields
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectMissing, ObjectStore
from lifemask.trainer.domain.attempt import Attempt, AttemptId
from lifemask.trainer.domain.training import Training
from lifemask.trainer.domain.weights import Copied, echo_of, is_of_another_archive
from lifemask.trainer.ports import Dataset

_PROVIDER: Final = "replicate"
_IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""What the provider's trainer reads; it leaves a caption for each."""


class CustodyChain:
    """The run's chain, opened from its end."""

    def __init__(self, objects: ObjectStore, chain: Chain, photos_min: int) -> None:
        self._objects = objects
        self._chain = chain
        self._photos_min = photos_min

    async def prove(self, event: DatasetSealed, seen: datetime) -> Dataset | Failure:
        try:
            return await self._prove(event, seen)
        except CustodyBroken as broken:
            return broken.failure(event.run_id)

    async def has_training(self, attempt: AttemptId) -> bool:
        return await self._chain.is_sealed(TRAINING, *attempt)

    async def seal_training(self, attempt: Attempt, dataset: Dataset, at: datetime) -> Digest | Failure:
        plan = attempt.plan
        try:
            return await self._chain.seal(
                TRAINING,
                attempt.id.user_id,
                attempt.id.run_id,
                fields=TrainingFields(
                    provider=_PROVIDER,
                    trainer=plan.trainer,
                    steps=plan.steps,
                    rank=plan.rank,
                    learning_rate=plan.learning_rate,
                ),
                manifest=TrainingManifest(archive_key=plan.archive_key, trigger_word=dataset.trigger_word),
                previous=dataset.statement,
                at=at,
                attempt=attempt.id.number,
            )
        except CustodyBroken as broken:
            return broken.failure(attempt.id.run_id)

    async def seal_weights(
        self, attempt: Attempt, training: Training, copied: Copied, at: datetime, *, seen: datetime
    ) -> Digest | Failure:
        try:
            return await self._seal_weights(attempt, training, copied, at, seen=seen)
        except CustodyBroken as broken:
            return broken.failure(attempt.id.run_id)

    async def _prove(self, event: DatasetSealed, seen: datetime) -> Dataset:
        user_id, run_id = event.user_id, event.run_id
        dataset = await self._chain.open(DATASET, event.statement, user_id, run_id, seen=seen)
        if (dataset.fields.members, dataset.fields.bytes) != (event.photos, event.bytes):
            raise CustodyBroken("dataset: counts differ from the event")
        if dataset.fields.members < self._photos_min:
            raise CustodyBroken("dataset: fewer photos than a run needs")
        request = await sealed_request(self._objects, user_id, run_id, dataset.back(UPLOAD).manifest.request)
        if request.parameters != event.parameters:
            raise CustodyBroken("request: parameters differ")
        key = keys.archive(user_id, run_id, ARCHIVE)
        digest, size = await self._hash(key)
        if (digest, size) != (dataset.manifest.archive, dataset.fields.bytes):
            raise CustodyBroken("archive: differs", expected=dataset.manifest.archive, found=digest)
        return Dataset(event.statement, key, digest, size, request.trigger_word)

    async def _seal_weights(
        self, attempt: Attempt, training: Training, copied: Copied, at: datetime, *, seen: datetime
    ) -> Digest:
        mine = attempt.id
        if attempt.statement is None:
            raise CustodyBroken("training: statement is missing")
        sealed = await self._chain.open(TRAINING, attempt.statement, mine.user_id, mine.run_id, mine.number, seen=seen)
        names = [PurePosixPath(member.name) for member in sealed.back(DATASET).manifest.members]
        images = [name.stem for name in names if name.suffix.lower() in _IMAGES]
        if is_of_another_archive(copied.captions, images):
            raise CustodyBroken("weights: of another archive")
        return await self._chain.seal(
            WEIGHTS,
            mine.user_id,
            mine.run_id,
            fields=WeightsFields(
                training=training.id,
                version=training.version or "",
                bytes=copied.bytes,
                fetches=attempt.fetches,
                echo=echo_of(copied.captions, images),
            ),
            subject=copied.sha256,
            previous=sealed.digest,
            at=at,
            attempt=mine.number,
        )

    async def _hash(self, key: Key) -> tuple[Digest, int]:
        """SHA-256 and size of the archive as it lies there now."""
        try:
            found = await Hashed(self._objects.read(key)).drain()
        except ObjectMissing:
            raise CustodyBroken("archive: missing") from None
        return found.sha256, found.bytes
