"""Tries whether the store lets us do something, without leaving anything behind.

S3 decides about the right before it looks at the object: who may not read gets 403 for a missing object as well, and
who may write gets 400 for bytes that do not fit their own checksum, which are then not stored.
"""

import base64
import hashlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.objects.keys import USERS, Key, folder_of, parts, probe_beside
from lifemask.objects.port import ObjectExists, ObjectMissing
from lifemask.objects.s3_errors import Denied, code_of, translated

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

GET: Final = "s3:GetObject"
PUT: Final = "s3:PutObject"
DELETE: Final = "s3:DeleteObject"
LIST: Final = "s3:ListBucket"
ABORT: Final = "s3:AbortMultipartUpload"

_OTHER: Final = base64.b64encode(hashlib.sha256(b"something else").digest()).decode()
_MISMATCH: Final = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest", "InvalidRequest"})
_RECENT: Final = 60.0
"""Seconds for which a call that was let through speaks for its neighbours."""
_LATER: Final = timedelta(seconds=30)
"""Until a lane tries again whose object is missing or forbidden, nobody knows which."""
_KINDS: Final = 256


class Trial:
    """Tries rights at one bucket. Each call raises Denied, or what `lifemask.objects.port` says of a store."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def make(self, permission: str, key: Key) -> None:
        """Makes the call that `permission` is for; `key` is one where nobody's object lies."""
        parts(key)
        call = {GET: self._get, PUT: self._put, DELETE: self._delete, LIST: self._list, ABORT: self._begin_and_abort}
        await call[permission](key)

    async def _get(self, key: Key) -> None:
        try:
            with translated(GET, self._bucket, key):
                found = await self._client.get_object(Bucket=self._bucket, Key=key, Range="bytes=0-0")
            found["Body"].close()
        except ObjectMissing:
            return

    async def _put(self, key: Key) -> None:
        try:
            with translated(PUT, self._bucket, key):
                await self._put_unfit(key)
        except ObjectExists:
            return

    async def _put_unfit(self, key: Key) -> None:
        try:
            await self._client.put_object(
                Bucket=self._bucket, Key=key, Body=b"probe", ChecksumSHA256=_OTHER, IfNoneMatch="*"
            )
        except ClientError as error:
            if code_of(error) in _MISMATCH:
                return
            raise
        await self._client.delete_object(Bucket=self._bucket, Key=key)  # a store that checks no checksums

    async def _delete(self, key: Key) -> None:
        with translated(DELETE, self._bucket, key):
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    async def _list(self, key: Key) -> None:
        with translated(LIST, self._bucket, key):
            await self._client.list_objects_v2(Bucket=self._bucket, Prefix=folder_of(key), MaxKeys=1)

    async def _begin_and_abort(self, key: Key) -> None:
        with translated(PUT, self._bucket, key):
            begun = await self._client.create_multipart_upload(Bucket=self._bucket, Key=key)
            await self._client.upload_part(
                Bucket=self._bucket, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"probe"
            )
        with translated(ABORT, self._bucket, key):
            await self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=begun["UploadId"])


class Judge:
    """Whether a refusal is about one object, which is its lane's affair, or about our rights, which pauses the stage.

    Where we may not list, S3 answers 403 for a missing object as well: then a call of the same kind that was let
    through a moment ago decides.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._passed: dict[tuple[str, str], float] = {}

    def let_through(self, permission: str, key: str) -> None:
        """Notes that the store took such a call."""
        if len(self._passed) >= _KINDS:
            self._passed.clear()
        self._passed[permission, _kind(key)] = time.monotonic()

    async def judge(self, refused: Denied, key: str) -> Exception:
        """What a caller of the store is told of `refused`, a 403 for `key`."""
        beside = probe_beside(Key(key))
        try:
            await self._trial.make(refused.permission, beside)
        except Denied:
            return await self._refused_too(refused, key, beside)
        except (Retryable, Misconfigured) as other:
            return other
        return Retryable(FailureCode.STORE_DENIED)

    async def _refused_too(self, refused: Denied, key: str, beside: Key) -> Exception:
        if refused.permission != GET:
            return Misconfigured(refused.code, refused.detail)
        try:
            await self._trial.make(LIST, beside)
        except Denied:
            passed = self._passed.get((GET, _kind(key)))
            if passed is not None and time.monotonic() - passed < _RECENT:
                return Retryable(FailureCode.STORE_DENIED, after=_LATER, counts=False)
            return Misconfigured(refused.code, f"{refused.detail} ({LIST} denied, too)")
        except (Retryable, Misconfigured) as other:
            return other
        return Misconfigured(refused.code, f"{refused.detail} ({LIST} ok)")


def _kind(key: str) -> str:
    """A key without ids: `users/runs/clean`."""
    found = key.split("/")
    if found[0] != USERS.removesuffix("/"):
        return found[0]
    return "/".join(found[:6:2] if found[2:3] == ["runs"] else found[:4:2])
