"""A run's chain up to the sealed dataset, as the services before the trainer leave it."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from lifemask.contracts import Digest, RunRequest, new_id
from lifemask.custody.steps import (
    DATASET,
    UPLOAD,
    VALIDATION,
    DatasetFields,
    DatasetManifest,
    DatasetMember,
    JudgedPhoto,
    UploadedPhoto,
    UploadFields,
    UploadManifest,
    ValidationFields,
    ValidationManifest,
)
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore
from lifemask.testkit.custody import AllServices

ORIGINAL, CLEAN = "1" * 64, "3" * 64


async def seal_dataset(
    objects: ObjectStore,
    user: str,
    run: str,
    *,
    request: RunRequest,
    archive: bytes,
    names: Sequence[str],
    at: datetime,
) -> Digest:
    """Stores request and archive and seals the three statements; returns the digest of the dataset's."""
    chain = AllServices(objects)
    await chain.begin(user, run)
    body = request.model_dump_json().encode()
    await objects.put(keys.request(user, run), body)
    await objects.put(keys.archive(user, run, 1), archive)
    photos = [new_id() for _ in names]
    uploaded = tuple(UploadedPhoto(id=photo, sha256=ORIGINAL, bytes=50_000, at=at.isoformat()) for photo in photos)
    upload = await chain.seal(
        UPLOAD,
        user,
        run,
        fields=UploadFields(door="http", count=len(names), bytes=50_000 * len(names)),
        manifest=UploadManifest(request=_sha256(body), photos=uploaded),
        at=at,
    )
    judged = tuple(JudgedPhoto(id=photo, original=ORIGINAL, clean=CLEAN, bytes=40_000) for photo in photos)
    validation = await chain.seal(
        VALIDATION,
        user,
        run,
        fields=ValidationFields(received=len(names), usable=len(names), policy="2" * 64, encoder="pillow"),
        manifest=ValidationManifest(pairs=judged),
        previous=upload,
        at=at,
    )
    members = tuple(DatasetMember(name=name, sha256=CLEAN, bytes=40_000) for name in names)
    return await chain.seal(
        DATASET,
        user,
        run,
        fields=DatasetFields(members=len(names), bytes=len(archive), format="zip"),
        manifest=DatasetManifest(archive=_sha256(archive), members=members),
        previous=validation,
        at=at,
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
