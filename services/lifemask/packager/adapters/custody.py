"""The validation statement before the archive, and the dataset statement after it."""

from collections.abc import Sequence
from datetime import datetime

from lifemask.contracts import Digest, Failure, PhotosValidated
from lifemask.custody import Chain, CustodyBroken
from lifemask.custody.contents import usable
from lifemask.custody.steps import DATASET, VALIDATION, DatasetFields, DatasetManifest, DatasetMember
from lifemask.packager.domain import FORMAT, ArchiveReport, CleanPhoto, Member


class CustodyChain:
    """Implements `Custody`."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def validated(self, event: PhotosValidated, seen: datetime) -> tuple[CleanPhoto, ...] | Failure:
        try:
            return await self._validated(event, seen)
        except CustodyBroken as broken:
            return broken.failure(event.run_id)

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
            return broken.failure(event.run_id)

    async def _validated(self, event: PhotosValidated, seen: datetime) -> tuple[CleanPhoto, ...]:
        link = await self._chain.open(VALIDATION, event.statement, event.user_id, event.run_id, seen=seen)
        if (link.fields.received, link.fields.usable) != (event.received, event.usable):
            raise CustodyBroken("validation: counts differ from the event")
        return tuple(CleanPhoto(one.id, one.clean, one.bytes) for one in usable(link.manifest.pairs) if one.clean)
