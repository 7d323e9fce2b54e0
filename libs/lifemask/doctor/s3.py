"""An S3 store: each right that a service's policy must give is tried where the policy gives it.

Where the service may put, read and delete, an object goes the whole way: put, head, range, list, multipart, a presigned
fetch, delete. Elsewhere the calls are such that the store decides about the right and nothing stays behind.
"""

import asyncio
import json
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

import aioboto3
import aiohttp

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import new_id
from lifemask.doctor.objects import PART, Grant
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.objects.port import StoreLimits
from lifemask.objects.s3 import open_client
from lifemask.objects.s3_errors import Denied, translated
from lifemask.objects.s3_trial import ABORT, DELETE, GET, LIST, PUT, Trial
from lifemask.runtime.checkup import Finding

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_LIMITS: Final = StoreLimits(connect_timeout=2, read_timeout=3, request_timeout=3, tries=1, connections=20)
_SETTING: Final = "Look whether the store runs, and at AWS_ENDPOINT_URL_S3."
_WHOLE: Final = {GET, PUT, DELETE}
_PRESIGNED_SECONDS: Final = 60


@dataclass
class _Tally:
    """What was tried: per permission the resources where it was let through and where it was denied."""

    ok: dict[str, list[str]] = field(default_factory=dict)
    denied: dict[str, list[str]] = field(default_factory=dict)
    other: dict[str, Finding] = field(default_factory=dict)
    """Other trouble, by its text: a wrong bucket is one problem, not twenty."""


@cache
def _session() -> aioboto3.Session:
    return aioboto3.Session()


async def look(
    service: str, grants: Sequence[Grant], bucket: str, account: tuple[str, str] | None
) -> Sequence[Finding]:
    """What a service finds at its bucket."""
    name, tally = new_id(), _Tally()
    try:
        async with open_client(_LIMITS, account or (None, None), _session()) as client:
            trial = Trial(client, bucket)
            await _noted(tally, LIST, "", trial.make(LIST, keys.probe(keys.every_run("*"), name)))
            if not tally.other:
                await asyncio.gather(*(_place(tally, client, bucket, grant, name) for grant in grants))
    except Misconfigured as problem:
        return [Finding(PART, "client", problem.detail, "Set the AWS_* variables.")]
    return [*tally.other.values(), *_denials(service, bucket, tally)] or [_all_well(bucket, tally)]


async def _place(tally: _Tally, client: "S3Client", bucket: str, grant: Grant, name: str) -> None:
    key = keys.probe(grant.resource, name)
    trial = Trial(client, bucket)
    permissions = [f"s3:{action}" for action in grant.actions]
    for permission in permissions:
        if permission != ABORT or PUT in permissions:
            await _noted(tally, permission, grant.resource, trial.make(permission, key))
    if set(permissions) >= _WHOLE and not tally.denied and not tally.other:
        await _noted(tally, PUT, grant.resource, _whole_way(client, bucket, key, multipart=ABORT in permissions))


async def _noted(tally: _Tally, permission: str, resource: str, call: Awaitable[None]) -> None:
    try:
        await call
    except Denied as refused:
        _add(tally.denied, refused.permission, resource)
    except Misconfigured as problem:
        text = problem.detail.partition(": ")[2] or problem.detail
        tally.other.setdefault(text, Finding(PART, "bucket", problem.detail, "Look at LIFEMASK_OBJECTS and AWS_*."))
    except Retryable:
        tally.other.setdefault("away", Finding(PART, "answers", "the store does not answer", _SETTING))
    else:
        _add(tally.ok, permission, resource)


def _add(places: dict[str, list[str]], permission: str, resource: str) -> None:
    found = places.setdefault(permission, [])
    if resource not in found:
        found.append(resource)


async def _whole_way(client: "S3Client", bucket: str, key: Key, *, multipart: bool) -> None:
    """An object is put, looked at, fetched by its range and by a presigned address, listed, and deleted again."""
    try:
        with translated(PUT, bucket, key):
            if multipart:
                await _put_in_parts(client, bucket, key)
            else:
                await client.put_object(Bucket=bucket, Key=key, Body=b"probe")
        with translated(GET, bucket, key):
            await client.head_object(Bucket=bucket, Key=key)
            found = await client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
            await found["Body"].read()
            await _fetch(client, bucket, key)
        with translated(LIST, bucket, key):
            await client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    finally:
        with translated(DELETE, bucket, key):
            await client.delete_object(Bucket=bucket, Key=key)


async def _put_in_parts(client: "S3Client", bucket: str, key: Key) -> None:
    begun = await client.create_multipart_upload(Bucket=bucket, Key=key)
    upload = begun["UploadId"]
    part = await client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"probe")
    await client.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    )


async def _fetch(client: "S3Client", bucket: str, key: Key) -> None:
    address = await client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=_PRESIGNED_SECONDS, HttpMethod="GET"
    )
    async with aiohttp.ClientSession() as http, http.get(address) as answer:
        if answer.status in {401, 403}:
            raise Denied("a presigned address for s3:GetObject is", f"{bucket}/{keys.place(key)}")


def _denials(service: str, bucket: str, tally: _Tally) -> Iterable[Finding]:
    for permission, resources in tally.denied.items():
        arns = [f"arn:aws:s3:::{bucket}{f'/{resource}' if resource else ''}" for resource in resources]
        shown = ", ".join(f"{bucket}{f'/{resource}' if resource else ''}" for resource in resources)
        others = [f"{each.removeprefix('s3:')} ok" for each in tally.ok if each not in tally.denied]
        also = f" ({', '.join(others)})" if others else ""
        statement = json.dumps({"Effect": "Allow", "Action": [permission], "Resource": arns})
        yield Finding(
            PART, permission, f"{permission} denied on {shown}{also}", f"Add to the policy of {service}: {statement}"
        )


def _all_well(bucket: str, tally: _Tally) -> Finding:
    return Finding(PART, f"{', '.join(each.removeprefix('s3:') for each in tally.ok)} on {bucket}")
