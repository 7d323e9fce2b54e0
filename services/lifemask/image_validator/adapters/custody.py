"""The upload statement before the judgement, and the validation statement after it."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from lifemask.contracts import Digest, Failure, PhotoReceived, RunAccepted
from lifemask.custody import Chain, CustodyBroken, sealed_request
from lifemask.custody.steps import UPLOAD, VALIDATION, JudgedPhoto, ValidationFields, ValidationManifest
from lifemask.image_validator.domain.album import Photo, Sealed, SealedPhoto, Terms, usable_of
from lifemask.objects.port import ObjectStore

log = structlog.get_logger()


class CustodyChain:
    """Implements `Custody`."""

    def __init__(self, objects: ObjectStore, chain: Chain) -> None:
        self._objects = objects
        self._chain = chain

    async def holds(self, event: PhotoReceived, sha256: Digest) -> bool:
        try:
            holds = await self._chain.commitment(event.user_id, event.run_id, sha256) == event.commitment
        except CustodyBroken:
            holds = False
        if not holds:
            log.error("photo_is_not_the_announced_one", photo=event.photo_id)
        return holds

    async def uploaded(self, event: RunAccepted, seen: datetime) -> tuple[SealedPhoto, ...] | Failure:
        try:
            return await self._uploaded(event, seen)
        except CustodyBroken as broken:
            return broken.failure(event.run_id)

    async def sealed_before(self, event: RunAccepted, at: datetime) -> Sealed | Failure | None:
        try:
            link = await self._chain.there(VALIDATION, event.user_id, event.run_id, seen=at)
        except CustodyBroken as broken:
            return broken.failure(event.run_id)
        if link is None or link.at != at or link.back(UPLOAD).digest != event.statement:
            return None
        return Sealed(link.digest, link.fields.received, link.fields.usable)

    async def seal(
        self,
        event: RunAccepted,
        sealed: Sequence[SealedPhoto],
        photos: Sequence[Photo],
        *,
        terms: Terms,
        at: datetime,
    ) -> Digest | Failure:
        pairs = tuple(_pair(one, photo) for one, photo in zip(sealed, photos, strict=True))
        try:
            return await self._chain.seal(
                VALIDATION,
                event.user_id,
                event.run_id,
                fields=ValidationFields(
                    received=len(photos),
                    usable=len(usable_of(photos)),
                    policy=terms.policy,
                    encoder=terms.encoder,
                ),
                manifest=ValidationManifest(pairs=pairs),
                previous=event.statement,
                at=at,
            )
        except CustodyBroken as broken:
            return broken.failure(event.run_id)

    async def _uploaded(self, event: RunAccepted, seen: datetime) -> tuple[SealedPhoto, ...]:
        user_id, run_id = event.user_id, event.run_id
        upload = await self._chain.open(UPLOAD, event.statement, user_id, run_id, seen=seen)
        if upload.fields.count != event.photos:
            raise CustodyBroken("upload: counts differ from the event")
        request = await sealed_request(self._objects, user_id, run_id, upload.manifest.request)
        if request.parameters != event.parameters:
            raise CustodyBroken("request: parameters differ")
        return tuple(SealedPhoto(one.id, one.sha256, one.bytes) for one in upload.manifest.photos)


def _pair(sealed: SealedPhoto, photo: Photo) -> JudgedPhoto:
    clean = photo.clean if photo.usable else None
    return JudgedPhoto(
        id=sealed.photo_id,
        original=sealed.sha256,
        clean=clean.sha256 if clean else None,
        bytes=clean.bytes if clean else 0,
        verdicts=photo.verdicts,
    )
