"""`S3Objects`: the object store on S3, Cloudflare R2 and whatever else speaks their protocol.

Credentials, region and endpoint are the `AWS_*` variables that boto reads. Payloads are neither signed nor summed a
second time, which halves the client's CPU: our own SHA-256 digests prove what matters.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts import FailureCode
from lifemask.objects.keys import Key, folder_of, parts
from lifemask.objects.port import (
    CHUNK,
    Absent,
    File,
    ObjectInfo,
    ObjectMissing,
    ObjectStore,
    ObjectTooLarge,
    ObjectWriter,
    StoreLimits,
)
from lifemask.objects.s3_errors import Denied, code_of, translated
from lifemask.objects.s3_trial import DELETE, GET, LIST, PUT, Judge, Trial
from lifemask.objects.s3_upload import Upload, put
from lifemask.objects.targets import Expected, Target, headers_of

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectRequestTypeDef


_SLOWEST: Final = 20_000
"""Bytes a second of one body. Sixteen lanes with three parts each under way then have 8 Mbit/s together."""


@asynccontextmanager
async def open_s3(bucket: str, limits: StoreLimits) -> AsyncIterator[ObjectStore]:
    """The store in `bucket`. Asks it nothing yet. Raises Misconfigured when the `AWS_*` settings cannot be used."""
    async with open_client(limits) as client:
        yield S3Objects(client, bucket)


@asynccontextmanager
async def open_client(
    limits: StoreLimits, account: tuple[str | None, str | None] = (None, None), session: aioboto3.Session | None = None
) -> AsyncIterator["S3Client"]:
    """A client of the store that the `AWS_*` settings name. `account`: other credentials, access and secret key.

    `session`: what clients share; to make one costs 0.1 s. Raises Misconfigured as `open_s3`.
    """
    access, secret = account
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(
                (session or aioboto3.Session()).client(
                    "s3", config=_config(limits), aws_access_key_id=access, aws_secret_access_key=secret
                )
            )
        except (BotoCoreError, ValueError) as error:
            raise Misconfigured(FailureCode.STORE_DENIED, f"the S3 settings cannot be used: {error}") from None
        yield client


class S3Objects:
    """Objects in one bucket, over a client of `open_s3`."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._judge = Judge(Trial(client, bucket))

    async def put(self, key: Key, data: bytes, *, create_only: bool = False) -> None:
        parts(key)
        async with self._judged(PUT, key):
            await put(self._client, self._bucket, key, data, create_only=create_only)

    @asynccontextmanager
    async def writing(self, key: Key, *, create_only: bool = False) -> AsyncIterator[ObjectWriter]:
        parts(key)
        upload = Upload(self._client, self._bucket, key, create_only=create_only)
        try:
            yield upload
            await upload.finish()
        except Denied as refused:
            await upload.abort()
            raise await self._judge.judge(refused, key) from None
        except BaseException:
            await upload.abort()
            raise

    async def get(self, key: Key, *, limit: int) -> bytes:
        data = bytearray()
        async for chunk in self._read(key, limit=limit):
            data += chunk
        return bytes(data)

    async def get_each(self, keys: Iterable[Key], *, limit: int) -> dict[Key, File]:
        wanted = tuple(keys)
        files = await asyncio.gather(*(self._file(key, limit) for key in wanted), return_exceptions=True)
        found: dict[Key, File] = {}
        for key, file in zip(wanted, files, strict=True):
            if isinstance(file, BaseException):
                raise file
            found[key] = file
        return found

    async def read(self, key: Key, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if end is not None and end <= start:
            if await self.head(key) is None:
                raise ObjectMissing("there is no such object")
            return
        span = None if (start, end) == (0, None) else f"bytes={start}-{'' if end is None else end - 1}"
        async for chunk in self._read(key, span=span):
            yield chunk

    async def _file(self, key: Key, limit: int) -> File:
        try:
            return await self.get(key, limit=limit)
        except ObjectMissing:
            return Absent.MISSING
        except ObjectTooLarge:
            return Absent.TOO_LARGE

    async def head(self, key: Key) -> ObjectInfo | None:
        parts(key)
        try:
            async with self._judged(GET, key):
                found = await self._client.head_object(Bucket=self._bucket, Key=key)
        except ObjectMissing:
            await self._missing(key)
            return None
        return ObjectInfo(key, found["ContentLength"], found["LastModified"])

    async def delete(self, key: Key) -> None:
        parts(key)
        async with self._judged(DELETE, key):
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        folder_of(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with translated(LIST, self._bucket, prefix):
            async for page in pages:
                for found in page.get("Contents", ()):
                    yield ObjectInfo(Key(found["Key"]), found["Size"], found["LastModified"])

    async def target(self, expected: Expected, lifetime: timedelta) -> Target:
        """A presigned PUT. It is signed here, by this machine's clock; the store is not asked."""
        parts(expected.key)
        headers = headers_of(expected)
        with translated(PUT, self._bucket, expected.key):
            url = await self._client.generate_presigned_url(
                "put_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": expected.key,
                    "ContentLength": expected.bytes,
                    "ContentType": expected.media_type,
                    "ChecksumSHA256": headers["x-amz-checksum-sha256"],
                    "IfNoneMatch": "*",
                },
                ExpiresIn=int(lifetime.total_seconds()),
                HttpMethod="PUT",
            )
        return Target(url, headers)

    async def link(self, key: Key, lifetime: timedelta) -> str:
        """A presigned GET; likewise signed here. With credentials that expire, it ends when they do."""
        parts(key)
        with translated(GET, self._bucket, key):
            return await self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=int(lifetime.total_seconds()),
                HttpMethod="GET",
            )

    @asynccontextmanager
    async def _judged(self, permission: str, key: Key) -> AsyncIterator[None]:
        """The calls inside need `permission`; a refusal of one object is told from one of all."""
        try:
            with translated(permission, self._bucket, key):
                yield
        except Denied as refused:
            raise await self._judge.judge(refused, key) from None
        self._judge.let_through(permission, key)

    async def _missing(self, key: Key) -> None:
        """Tells a missing object from a missing bucket: HEAD, having no body, answers both alike."""
        with suppress(ObjectMissing):
            async for _ in self._read(key, span="bytes=0-0"):
                pass

    async def _read(self, key: Key, *, span: str | None = None, limit: int | None = None) -> AsyncIterator[bytes]:
        parts(key)
        request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": key}
        if span:
            request["Range"] = span
        async with self._judged(GET, key):
            try:
                found = await self._client.get_object(**request)
            except ClientError as error:
                if code_of(error) == "InvalidRange":  # it lies beyond the end
                    return
                raise
            body = found["Body"]
            try:
                if limit is not None and found["ContentLength"] > limit:
                    raise ObjectTooLarge(f"an object exceeds the limit of {limit} bytes")
                async for chunk in body.iter_chunks(CHUNK):
                    yield chunk
            finally:
                body.close()


def _config(limits: StoreLimits) -> AioConfig:
    return AioConfig(
        http_session_cls=_session_with(limits.request_timeout),
        connect_timeout=limits.connect_timeout,
        read_timeout=limits.read_timeout,
        max_pool_connections=limits.connections,
        retries={"mode": "standard", "total_max_attempts": limits.tries},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version="s3v4",  # else targets in us-east-1 get the old signature, which binds no header
        s3={"payload_signing_enabled": False},
    )


def _session_with(seconds: float) -> type[AIOHTTPSession]:
    """A session whose requests end: aiohttp reads against the clock, but only once it has sent the whole body.

    A put waits for "100 Continue" before its body: on a connection that fell silent it would wait for ever.
    """

    class Session(AIOHTTPSession):
        async def send(self, request: Any) -> Any:
            longest = seconds + int(request.headers.get("Content-Length", 0)) / _SLOWEST
            try:
                async with asyncio.timeout(longest):
                    return await super().send(request)
            except TimeoutError as silence:
                raise ReadTimeoutError(endpoint_url=request.url, error=silence) from None

    return Session
