"""The chain of statements before a training, and the two that the trainer seals."""

import hashlib
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

from lifemask.contracts import Digest, Failure, FailureCode, RunRequest, TrainingParameters
from lifemask.contracts.event import ValidationError
from lifemask.custody import Chain, CustodyBroken
from lifemask.custody.steps import DATASET, TRAINING, UPLOAD, WEIGHTS, TrainingFields, TrainingManifest, WeightsFields
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectMissing, ObjectStore, ObjectTooLarge
from lifemask.trainer.domain.attempt import Attempt
from lifemask.trainer.domain.training import Training
from lifemask.trainer.domain.weights import Copied, echo_of
from lifemask.trainer.ports import Dataset

_PROVIDER: Final = "replicate"
_REQUEST_LIMIT: Final = 1 << 20
"""Bytes; a request of the contract's limits is below 20 KB."""
_IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""What the provider's trainer reads; it leaves a caption for each."""


class CustodyChain:
    """The run's chain, opened from its end."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._chain = Chain(objects)

    async def prove(
        self, user_id: str, run_id: str, statement: Digest, parameters: TrainingParameters
    ) -> Dataset | Failure:
        try:
            return await self._prove(user_id, run_id, statement, parameters)
        except CustodyBroken as broken:
            return Failure.of(FailureCode.CUSTODY_BROKEN, link=broken.link)
        except ObjectMissing:
            return Failure.of(FailureCode.OBJECT_MISSING)

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
            return Failure.of(FailureCode.CUSTODY_BROKEN, link=broken.link)

    async def seal_weights(
        self, attempt: Attempt, training: Training, copied: Copied, at: datetime
    ) -> Digest | Failure:
        try:
            return await self._seal_weights(attempt, training, copied, at)
        except CustodyBroken as broken:
            return Failure.of(FailureCode.CUSTODY_BROKEN, link=broken.link)

    async def _prove(self, user_id: str, run_id: str, statement: Digest, parameters: TrainingParameters) -> Dataset:
        dataset = await self._chain.open(DATASET, statement, user_id, run_id)
        request = await self._request(user_id, run_id, dataset.back(UPLOAD).manifest.request)
        if request.parameters != parameters:
            raise CustodyBroken("parameters differ from the sealed request")
        key = keys.archive(user_id, run_id, 1)
        if await self._hash(key) != dataset.manifest.archive:
            raise CustodyBroken("archive differs from the dataset statement")
        return Dataset(statement, key, request.trigger_word)

    async def _seal_weights(self, attempt: Attempt, training: Training, copied: Copied, at: datetime) -> Digest:
        mine = attempt.id
        if attempt.statement is None:
            raise CustodyBroken("training: statement is missing")
        sealed = await self._chain.open(TRAINING, attempt.statement, mine.user_id, mine.run_id, mine.number)
        names = [PurePosixPath(member.name) for member in sealed.back(DATASET).manifest.members]
        images = [name.stem for name in names if name.suffix.lower() in _IMAGES]
        return await self._chain.seal(
            WEIGHTS,
            mine.user_id,
            mine.run_id,
            fields=WeightsFields(
                training=training.id,
                version=training.version or "",
                bytes=copied.bytes,
                fetches=attempt.fetches + 1,
                echo=echo_of(copied.captions, images),
            ),
            subject=copied.sha256,
            previous=sealed.digest,
            at=at,
            attempt=mine.number,
        )

    async def _request(self, user_id: str, run_id: str, expected: Digest) -> RunRequest:
        """What the person chose, as it was sealed with the upload."""
        try:
            body = await self._objects.get(keys.request(user_id, run_id), limit=_REQUEST_LIMIT)
            if hashlib.sha256(body).hexdigest() == expected:
                return RunRequest.read(body)
        except (ObjectMissing, ObjectTooLarge, ValidationError) as error:
            raise CustodyBroken("request") from error
        raise CustodyBroken("request")

    async def _hash(self, key: Key) -> Digest:
        found = hashlib.sha256()
        async for chunk in self._objects.read(key):
            found.update(chunk)
        return found.hexdigest()
