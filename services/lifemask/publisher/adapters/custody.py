"""The chain of statements behind the weights, and the one about their publication."""

import hashlib
from datetime import datetime

from lifemask.contracts import Digest, Failure, FailureCode, RunRequest, TrainingSucceeded
from lifemask.contracts.event import ValidationError
from lifemask.custody import Chain, CustodyBroken
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    PublicationFields,
    PublicationManifest,
)
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore, ObjectTooLarge
from lifemask.publisher.domain import Publication, Statements, Trained

_REQUEST_LIMIT = 1 << 20
"""Bytes; a request of the contract's limits is below 20 KB."""


class CustodyChain:
    """The run's chain, opened from its end."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._chain = Chain(objects)

    async def trained(self, event: TrainingSucceeded) -> Trained | Failure:
        try:
            return await self._open(event)
        except CustodyBroken as broken:
            return Failure.of(FailureCode.CUSTODY_BROKEN, link=broken.link)

    async def seal(self, publication: Publication, trained: Trained, at: datetime) -> Digest | Failure:
        user_id, run_id = publication.user_id, publication.run_id
        try:
            return await self._chain.seal(
                PUBLICATION,
                user_id,
                run_id,
                fields=PublicationFields(
                    model=publication.model_id,
                    version=publication.place,
                    hub_commit=publication.hub_commit,
                    read_back=("store", "hub") if publication.repo else ("store",),
                ),
                manifest=PublicationManifest(
                    store_key=keys.model_weights(user_id, publication.model_id, publication.place),
                    repo=publication.repo,
                ),
                subject=trained.weights,
                previous=trained.statements.weights,
                at=at,
                attempt=trained.attempt,
            )
        except CustodyBroken as broken:
            return Failure.of(FailureCode.CUSTODY_BROKEN, link=broken.link)

    async def _open(self, event: TrainingSucceeded) -> Trained:
        weights = await self._chain.open(WEIGHTS, event.statement, event.user_id, event.run_id, attempt=event.attempt)
        training, dataset = weights.back(TRAINING), weights.back(DATASET)
        validation, upload = weights.back(VALIDATION), weights.back(UPLOAD)
        return Trained(
            request=await self._request(event, upload.manifest.request),
            trainer=training.fields.trainer,
            steps=training.fields.steps,
            rank=training.fields.rank,
            learning_rate=training.fields.learning_rate,
            photos=dataset.fields.members,
            attempt=event.attempt,
            weights=weights.subject,
            bytes=weights.fields.bytes,
            statements=Statements(upload.digest, validation.digest, dataset.digest, training.digest, weights.digest),
        )

    async def _request(self, event: TrainingSucceeded, expected: Digest) -> RunRequest:
        """What the person chose, as it was sealed with the upload."""
        try:
            body = await self._objects.get(keys.request(event.user_id, event.run_id), limit=_REQUEST_LIMIT)
            if hashlib.sha256(body).hexdigest() == expected:
                return RunRequest.read(body)
        except (ObjectMissing, ObjectTooLarge, ValidationError) as error:
            raise CustodyBroken("request") from error
        raise CustodyBroken("request")
