"""The chain of statements behind the weights, and the one about their publication."""

from datetime import datetime

from lifemask.contracts import Failure, TrainingSucceeded
from lifemask.custody import Chain, CustodyBroken, sealed_request
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    REVOCATION,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    AnyStep,
    PublicationFields,
    PublicationManifest,
    RevocationFields,
)
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore
from lifemask.publisher.adapters.hub_card import card_text
from lifemask.publisher.domain import Publication, Revocation, Sealed, SignedFile, Statements, Trained, metadata


class CustodyChain:
    """The run's chain, opened from its end."""

    def __init__(self, objects: ObjectStore, chain: Chain) -> None:
        self._objects = objects
        self._chain = chain

    async def trained(self, event: TrainingSucceeded, seen: datetime) -> Trained | Failure:
        try:
            return await self._open(event, seen)
        except CustodyBroken as broken:
            return broken.failure(event.run_id)

    async def seal(self, publication: Publication, trained: Trained, at: datetime) -> Sealed | Failure:
        user_id, run_id = publication.user_id, publication.run_id
        card = card_text(publication, trained).encode()
        try:
            digest = await self._chain.seal(
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
                    metadata=digest_of(metadata(publication, trained, at)),
                    repo=publication.repo,
                    card=digest_of(card) if publication.repo else None,
                ),
                subject=trained.weights,
                previous=trained.statements.weights,
                at=at,
                attempt=trained.attempt,
            )
            return Sealed(digest, await self._file(PUBLICATION, digest, user_id, run_id, trained.attempt, seen=at))
        except CustodyBroken as broken:
            return broken.failure(run_id)

    async def seal_revocation(self, publication: Publication, revocation: Revocation, at: datetime) -> None:
        fields = RevocationFields(
            actor=revocation.actor, reason=revocation.reason, model=publication.model_id, version=publication.place
        )
        user_id, run_id = publication.user_id, publication.run_id
        try:
            await self._chain.record(REVOCATION, user_id, run_id, "model", fields=fields, at=at)
        except CustodyBroken as broken:  # another's file lies there: the model goes all the same, and an audit names it
            broken.failure(run_id)

    async def _open(self, event: TrainingSucceeded, seen: datetime) -> Trained:
        user_id, run_id = event.user_id, event.run_id
        weights = await self._chain.open(WEIGHTS, event.statement, user_id, run_id, event.attempt, seen=seen)
        if (weights.fields.training, weights.fields.bytes) != (event.training, event.bytes):
            raise CustodyBroken("weights: training or size differs from the event")
        training, dataset = weights.back(TRAINING), weights.back(DATASET)
        validation, upload = weights.back(VALIDATION), weights.back(UPLOAD)
        return Trained(
            request=await sealed_request(self._objects, user_id, run_id, upload.manifest.request),
            trainer=training.fields.trainer,
            steps=training.fields.steps,
            rank=training.fields.rank,
            learning_rate=training.fields.learning_rate,
            photos=dataset.fields.members,
            attempt=event.attempt,
            weights=weights.subject,
            bytes=weights.fields.bytes,
            statements=Statements(upload.digest, validation.digest, dataset.digest, training.digest, weights.digest),
            files=tuple(
                [
                    await self._file(link.step, link.digest, user_id, run_id, event.attempt, seen=link.witnessed_at)
                    for link in (upload, validation, dataset, training, weights)
                ]
            ),
        )

    async def _file(
        self, step: AnyStep, digest: str, user_id: str, run_id: str, attempt: int, *, seen: datetime | None
    ) -> SignedFile:
        """The file of a statement that was verified before, for others to read."""
        name, content = await self._chain.signed_file(step, digest, user_id, run_id, attempt, seen=seen)
        return SignedFile(name, content)
