"""The validation statement before the archive, and the dataset statement after it."""

from collections.abc import Sequence
from datetime import datetime

from lifemask.contracts import Digest, Failure, FailureCode, PhotosValidated
from lifemask.custody import Chain, CustodyBroken
from lifemask.custody.steps import DATASET, VALIDATION, DatasetFields, DatasetManifest, DatasetMember, JudgedPhoto
from lifemask.objects.port import ObjectStore
from lifemask.packager.domain import FORMAT, ArchiveReport, CleanPhoto, Member


class CustodyChain:
    """Implements `Custody`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._chain = Chain(objects)

    async def validated(self, event: PhotosValidated) -> tuple[CleanPhoto, ...] | Failure:
        try:
            return await self._validated(event)
        except CustodyBroken as broken:
            return _broken(broken)

    async def seal(
        self, event: PhotosValidated, plan: Sequence[Member], archive: ArchiveReport, at: datetime
    ) -> Digest | Failure:
        members = tuple(DatasetMember(name=one.name, sha256=one.sha256, bytes=one.bytes) for one in plan)
        try:
            return await self._chain.seal(
                DATASET,
                event.user_id,
                event.run_id,
                fields=DatasetFields(members=len(members), bytes=archive.bytes, format=FORMAT),
                manifest=DatasetManifest(archive=archive.sha256, members=members),
                previous=event.statement,
                at=at,
            )
        except CustodyBroken as broken:
            return _broken(broken)

    async def _validated(self, event: PhotosValidated) -> tuple[CleanPhoto, ...]:
        link = await self._chain.open(VALIDATION, event.statement, event.user_id, event.run_id)
        pairs, fields = link.manifest.pairs, link.fields
        usable = tuple(_clean(pair) for pair in pairs if not pair.verdicts)
        counted = (len(pairs), len(usable))
        if not counted == (fields.received, fields.usable) == (event.received, event.usable):
            raise CustodyBroken("validation: counts differ")
        return usable


def _clean(pair: JudgedPhoto) -> CleanPhoto:
    if pair.clean is None:
        raise CustodyBroken("validation: a usable photo has no clean one")
    return CleanPhoto(pair.id, pair.clean, pair.bytes)


def _broken(broken: CustodyBroken) -> Failure:
    return Failure.of(FailureCode.CUSTODY_BROKEN, link=broken.link)
