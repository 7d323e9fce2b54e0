"""The first link of the chain: the upload statement."""

from collections.abc import Mapping
from datetime import UTC, datetime

from lifemask.contracts import Failure
from lifemask.custody import Chain, CustodyBroken
from lifemask.custody.steps import UPLOAD, UploadedPhoto, UploadFields, UploadManifest
from lifemask.ingest.domain.runs import SealedPhoto, Sealing
from lifemask.ingest.ports import ChainSpoiled


class UploadCustody:
    """The port `Custody` on the object store."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def commitment(self, user_id: str, run_id: str, sha256: str) -> str:
        try:
            return await self._chain.commitment(user_id, run_id, sha256)
        except CustodyBroken:  # the run's first photo: there is no salt yet
            try:
                await self._chain.begin(user_id, run_id)
                return await self._chain.commitment(user_id, run_id, sha256)
            except CustodyBroken as broken:
                raise ChainSpoiled(broken.failure(run_id)) from None

    async def seal_upload(self, sealing: Sealing) -> str | Failure:
        try:
            return await self._chain.seal(
                UPLOAD,
                sealing.user_id,
                sealing.run_id,
                fields=_fields(sealing),
                manifest=_manifest(sealing),
                at=sealing.at,
            )
        except CustodyBroken as broken:
            return broken.failure(sealing.run_id)

    async def uploaded(
        self, user_id: str, run_id: str, statement: str, seen: datetime
    ) -> Mapping[str, SealedPhoto] | Failure:
        try:
            link = await self._chain.open(UPLOAD, statement, user_id, run_id, seen=seen)
        except CustodyBroken as broken:
            return broken.failure(run_id)
        return {
            photo.id: SealedPhoto(photo.id, photo.sha256, photo.bytes, datetime.fromisoformat(photo.at))
            for photo in link.manifest.photos
        }


def _fields(sealing: Sealing) -> UploadFields:
    return UploadFields(
        door=sealing.door,
        count=len(sealing.photos),
        bytes=sum(photo.bytes for photo in sealing.photos),
        restarted_from=sealing.restarted_from,
    )


def _manifest(sealing: Sealing) -> UploadManifest:
    return UploadManifest(
        request=sealing.request_sha256,
        photos=tuple(
            UploadedPhoto(id=photo.id, sha256=photo.sha256, bytes=photo.bytes, at=_time(photo.received_at))
            for photo in sealing.photos
        ),
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
