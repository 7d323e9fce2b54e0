"""The provider's output into our store: one file out of a tar, checked and hashed while it streams.

The output lies on another host than the API, so it is fetched by a client of its own that knows no token.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import Failure, FailureCode
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore, ObjectWriter
from lifemask.trainer.adapters.tar import BrokenOff, Member, TarStream
from lifemask.trainer.domain.attempt import AttemptId
from lifemask.trainer.domain.weights import LENGTH_BYTES, Copied, UnsafeWeights, check_header, header_length

log = structlog.get_logger()

_AWAY: Final = frozenset({408, 425, 429})
"""Refusals that pass; other 4xx and redirects mean that the output is gone."""
_MEMBERS: Final = 10_000
_REST: Final = 64 << 20
"""Bytes that everything beside the weights may take: configuration, captions, samples."""
_CHUNK: Final = 1 << 20
_CONNECT_SECONDS: Final = 10.0


class Gone(Exception):
    """The provider no longer has the output."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`bytes` of the weights; `seconds` of the whole transfer; `silence` in seconds within it.

    `insecure`: whether plain http is fine, which is so only with a provider on this machine.
    """

    bytes: int
    seconds: float
    silence: float
    insecure: bool


@asynccontextmanager
async def open_weights(objects: ObjectStore, limits: Limits) -> AsyncIterator["OutputWeights"]:
    """The copier; its connections are closed at the end."""
    timeout = httpx.Timeout(limits.silence, connect=_CONNECT_SECONDS)
    async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as client:
        yield OutputWeights(client, objects, limits)


class OutputWeights:
    """Copies weights out of outputs."""

    def __init__(self, client: httpx.AsyncClient, objects: ObjectStore, limits: Limits) -> None:
        self._client = client
        self._objects = objects
        self._limits = limits

    async def copy_out(self, url: str | None, attempt: AttemptId) -> Copied | Failure:
        try:
            async with asyncio.timeout(self._limits.seconds), self._open(url) as chunks:
                return await self._take(TarStream(chunks, _MEMBERS), attempt)
        except UnsafeWeights as problem:
            log.warning("weights_unsafe", problem=str(problem))
            return Failure.of(FailureCode.WEIGHTS_UNSAFE, problem=str(problem))
        except Gone:
            return Failure.of(FailureCode.WEIGHTS_UNAVAILABLE)
        except (httpx.HTTPError, BrokenOff, TimeoutError):
            raise Retryable(FailureCode.PROVIDER_UNAVAILABLE) from None

    @asynccontextmanager
    async def _open(self, url: str | None) -> AsyncIterator[AsyncIterator[bytes]]:
        if url is None or not self._is_allowed(url):
            raise Gone
        async with self._client.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
            if response.status_code in _AWAY or response.is_server_error:
                raise BrokenOff
            if response.status_code != httpx.codes.OK:
                raise Gone
            if response.headers.get("content-encoding", "identity") != "identity":
                raise UnsafeWeights("output is compressed")
            yield _bounded(response.aiter_raw(_CHUNK), self._limits.bytes + _REST)

    def _is_allowed(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        schemes = {"https", "http"} if self._limits.insecure else {"https"}
        return parts.scheme in schemes and bool(parts.hostname) and parts.username is None

    async def _take(self, tar: TarStream, attempt: AttemptId) -> Copied:
        """Nothing is visible in the store until the whole archive was read and found to be in order."""
        captions: set[str] = set()
        copied: Copied | None = None
        async with AsyncExitStack() as stack:
            while member := await tar.next():
                path = PurePosixPath(member.name)
                if path.suffix == ".safetensors":
                    if copied is not None:
                        raise UnsafeWeights("more than one weights file")
                    key = keys.weights(attempt.user_id, attempt.run_id, attempt.number)
                    writer = await stack.enter_async_context(self._objects.writing(key))
                    copied = await self._copy(tar, member, writer)
                elif path.suffix == ".txt" and path.parent.name == "captions":
                    captions.add(path.stem)
            if copied is None:
                raise UnsafeWeights("no weights file")
        return Copied(copied.sha256, copied.bytes, frozenset(captions))

    async def _copy(self, tar: TarStream, member: Member, writer: ObjectWriter) -> Copied:
        if not LENGTH_BYTES <= member.bytes <= self._limits.bytes:
            raise UnsafeWeights("weights too large" if member.bytes else "weights empty")
        prefix = await tar.take(LENGTH_BYTES)
        header = await tar.take(header_length(prefix, member.bytes))
        check_header(header, member.bytes)
        digest = hashlib.sha256(prefix + header)
        await writer.write(prefix + header)
        async for chunk in tar.body():
            digest.update(chunk)
            await writer.write(chunk)
        return Copied(digest.hexdigest(), member.bytes, frozenset())


async def _bounded(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise UnsafeWeights("output too large")
        yield chunk
