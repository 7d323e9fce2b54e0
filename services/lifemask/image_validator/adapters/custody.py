"""The upload statement before the judgement, and the validation statement after it."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import structlog

from lifemask.contracts import Digest, Failure, FailureCode, PhotoReceived, RunAccepted, RunRequest
from lifemask.contracts.event import ValidationError
from lifemask.custody import Chain, CustodyBroken
from lifemask.custody.steps import UPLOAD, VALIDATION, JudgedPhoto, ValidationFields, ValidationManifest
from lifemask.image_validator.domain.album import Photo, SealedPhoto, usable_of
from lifemask.objects import keys
from lifemask.objects.port import ObjectMissing, ObjectStore, ObjectTooLarge

log = structlog.get_logger()

_REQUEST_LIMIT = 1 << 20
"""Bytes; a request of the contract's limits is below 20 KB."""


class CustodyChain:
    """Implements `Custody`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._chain = Chain(objects)

    async def holds(self, event: PhotoReceived, sha256: Digest) -> bool:
        try:
            holds = await self._chain.commitment(event.user_id, event.run_id, sha256) == event.commitment
        except CustodyBroken:
            holds = False
        if not holds:
            log.error("photo_is_not_the_announced_one", photo=event.photo_id)
        return holds

    async def uploaded(self, event: RunAccepted) -> tuple[SealedPhoto, ...] | Failure:
        try:
            return await self._uploaded(event)
        except CustodyBroken as broken:
            return _broken(broken)

    async def seal(
        self,
        event: RunAccepted,
        sealed: Sequence[SealedPhoto],
        photos: Sequence[Photo],
        *,
        policy: Digest,
        encoder: str,
        at: datetime,
    ) -> Digest | Failure:
        pairs = tuple(_pair(one, photo) for one, photo in zip(sealed, photos, strict=True))
        try:
            return await self._chain.seal(
                VALIDATION,
                event.user_id,
                event.run_id,
                fields=ValidationFields(
                    received=len(photos), usable=len(usable_of(photos)), policy=policy, encoder=encoder
                ),
                manifest=ValidationManifest(pairs=pairs),
                previous=event.statement,
                at=at,
            )
        except CustodyBroken as broken:
            return _broken(broken)

    async def _uploaded(self, event: RunAccepted) -> tuple[SealedPhoto, ...]:
        upload = await self._chain.open(UPLOAD, event.statement, event.user_id, event.run_id)
        photos = upload.manifest.photos
        if not upload.fields.count == len({one.id for one in photos}) == len(photos) == event.photos:
            raise CustodyBroken("upload: counts differ")
        if (await self._request(event, upload.manifest.request)).parameters != event.parameters:
            raise CustodyBroken("request: parameters differ")
        return tuple(SealedPhoto(one.id, one.sha256, one.bytes) for one in photos)

    async def _request(self, event: RunAccepted, expected: Digest) -> RunRequest:
        """What the person chose, as it was sealed with the upload."""
        try:
            body = await self._objects.get(keys.request(event.user_id, event.run_id), limit=_REQUEST_LIMIT)
            if hashlib.sha256(body).hexdigest() == expected:
                return RunRequest.read(body)
        except (ObjectMissing, ObjectTooLarge, ValidationError) as error:
            raise CustodyBroken("request: missing or unreadable") from error
        raise CustodyBroken("request: differs")


def _pair(sealed: SealedPhoto, photo: Photo) -> JudgedPhoto:
    clean = photo.clean if photo.usable else None
    return JudgedPhoto(
        id=sealed.photo_id,
        original=sealed.sha256,
        clean=clean.sha256 if clean else None,
        bytes=clean.bytes if clean else 0,
        verdicts=photo.verdicts,
    )


def _broken(broken: CustodyBroken) -> Failure:
    return Failure.of(FailureCode.CUSTODY_BROKEN, link=broken.link)
