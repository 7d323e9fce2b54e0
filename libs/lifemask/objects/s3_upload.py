"""A streaming write into S3: parts of 8 MiB, three in flight, whatever the object's size."""

import asyncio
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from lifemask.objects.keys import Key
from lifemask.objects.s3_errors import translated

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import (
        CompletedPartTypeDef,
        CompleteMultipartUploadRequestTypeDef,
        PutObjectRequestTypeDef,
    )

PART: Final = 8 << 20
"""Bytes of a part; 10,000 parts, the most that S3 takes, are 80 GB. Measured best with IN_FLIGHT on 2 cores."""
IN_FLIGHT: Final = 3
_ABORT_SECONDS: Final = 3


class Upload:
    """One object on its way. Less than a part is sent at once, more as a multipart upload that is completed or aborted.

    Holds at most `IN_FLIGHT` parts and the one being filled, beside the caller's chunk.
    """

    def __init__(self, client: "S3Client", bucket: str, key: Key, *, create_only: bool) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._create_only = create_only
        self._buffer = bytearray()
        self._id: str | None = None
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._parts: list[asyncio.Task[CompletedPartTypeDef]] = []

    async def write(self, chunk: bytes) -> None:
        """Takes the chunk; waits while all slots are sending, raises what has gone wrong with an earlier part."""
        rest = memoryview(chunk)
        while rest:
            room = PART - len(self._buffer)
            self._buffer += rest[:room]
            rest = rest[room:]
            if len(self._buffer) == PART:
                full, self._buffer = self._buffer, bytearray()
                await self._send(full)

    async def finish(self) -> None:
        """Makes the object visible. Raises ObjectExists when it was to be created and is there."""
        if self._id is None:
            await put(self._client, self._bucket, self._key, bytes(self._buffer), create_only=self._create_only)
            return
        if self._buffer:
            await self._send(self._buffer)
        request: CompleteMultipartUploadRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": self._key,
            "UploadId": self._id,
            "MultipartUpload": {"Parts": [await part for part in self._parts]},
        }
        if self._create_only:
            request["IfNoneMatch"] = "*"
        with translated("s3:PutObject", self._bucket, self._key):
            await self._client.complete_multipart_upload(**request)

    async def abort(self) -> None:
        """Leaves nothing behind, or at worst parts that the bucket's lifecycle removes. Hides no earlier error."""
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)
        if self._id is None:
            return
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)
        except (ClientError, BotoCoreError, OSError):
            return

    async def _send(self, data: bytearray) -> None:
        if self._id is None:
            with translated("s3:PutObject", self._bucket, self._key):
                begun = await self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)
            self._id = begun["UploadId"]
        await self._slots.acquire()
        for part in self._parts:
            if part.done():
                part.result()
        self._parts.append(asyncio.create_task(self._part(len(self._parts) + 1, data)))

    async def _part(self, number: int, data: bytearray) -> "CompletedPartTypeDef":
        try:
            with translated("s3:PutObject", self._bucket, self._key):
                sent = await self._client.upload_part(
                    Bucket=self._bucket, Key=self._key, UploadId=self._id or "", PartNumber=number, Body=bytes(data)
                )
            return {"ETag": sent["ETag"], "PartNumber": number}
        finally:
            self._slots.release()


async def put(client: "S3Client", bucket: str, key: Key, data: bytes, *, create_only: bool) -> None:
    """A small object in one request."""
    request: PutObjectRequestTypeDef = {"Bucket": bucket, "Key": key, "Body": data}
    if create_only:
        request["IfNoneMatch"] = "*"
    with translated("s3:PutObject", bucket, key):
        await client.put_object(**request)
