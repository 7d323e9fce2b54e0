"""What the S3 client makes of answers that are not the usual ones: refusals, trouble, silence, half an answer."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.objects.wire import BUCKET, Answer, Asked, Fault, WireS3, error
from tools import proxy

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectExists, ObjectMissing, ObjectStore, StoreLimits
from lifemask.objects.s3 import open_s3

KEY = Key("users/acme.ann/runs/r/a")
MIB = 1 << 20
Call = Callable[[ObjectStore], Awaitable[Any]]


async def whole(chunks: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in chunks]


async def stream(store: ObjectStore, *, size: int = 20 * MIB, create_only: bool = False) -> None:
    async with store.writing(KEY, create_only=create_only) as writer:
        for _ in range(size // MIB):
            await writer.write(b"x" * MIB)


CALLS: dict[str, tuple[Call, str]] = {
    "put": (lambda s: s.put(KEY, b"1"), "PutObject"),
    "stream": (stream, "PutObject"),
    "get": (lambda s: s.get(KEY, limit=9), "GetObject"),
    "read": (lambda s: whole(s.read(KEY)), "GetObject"),
    "head": (lambda s: s.head(KEY), "GetObject"),
    "delete": (lambda s: s.delete(KEY), "DeleteObject"),
    "list": (lambda s: whole(s.list("users/acme.ann/")), "ListBucket"),
}


def always(answer: Answer) -> Fault:
    return lambda asked: answer


def times(count: int, answer: Answer) -> Fault:
    """The first `count` requests get `answer`, the others are served."""
    left = iter([answer] * count)
    return lambda asked: next(left, None)


async def test_a_refusal_names_the_permission_and_no_user(wire: WireS3, s3: ObjectStore) -> None:
    wire.before = always(error(403, "AccessDenied"))
    for call, permission in CALLS.values():
        with pytest.raises(Misconfigured) as refused:
            await call(s3)
        assert refused.value.code is FailureCode.STORE_DENIED
        assert refused.value.detail.startswith(f"s3:{permission} denied on photos/users/…")


async def test_trouble_is_handed_back(wire: WireS3, s3: ObjectStore) -> None:
    for answer in (error(503, "SlowDown"), Answer(drop="before")):
        wire.before = always(answer)
        for call, _ in CALLS.values():
            with pytest.raises(Retryable) as trouble:
                await call(s3)
            assert trouble.value.code is FailureCode.STORE_UNAVAILABLE


async def test_trouble_is_tried_again_and_one_hiccup_is_not_noticed(wire: WireS3) -> None:
    async with open_s3(BUCKET, StoreLimits(tries=2)) as objects:
        wire.before = times(1, error(500, "InternalError"))
        await objects.put(KEY, b"1")
        wire.before = always(error(503, "SlowDown"))
        wire.asked.clear()
        with pytest.raises(Retryable):
            await objects.get(KEY, limit=9)
        assert len(wire.asked) == 2


async def test_a_missing_bucket_is_ours_to_fix(wire: WireS3) -> None:
    async with open_s3("elsewhere", StoreLimits(tries=1)) as objects:
        for call, permission in CALLS.values():
            with pytest.raises(Misconfigured) as missing:
                await call(objects)
            assert missing.value.detail == f"s3:{permission} on elsewhere/users/…: the bucket does not exist"


async def test_nobody_listening_is_trouble(monkeypatch: pytest.MonkeyPatch, wire: WireS3) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    async with open_s3(BUCKET, StoreLimits(tries=1)) as objects:
        for call, _ in CALLS.values():
            with pytest.raises(Retryable):
                await call(objects)


CODES: tuple[tuple[int, str, type[Exception], str], ...] = (
    (403, "InvalidAccessKeyId", Misconfigured, "AWS_ACCESS_KEY_ID"),
    (403, "SignatureDoesNotMatch", Misconfigured, "AWS_SECRET_ACCESS_KEY"),
    (403, "RequestTimeTooSkewed", Misconfigured, "clock"),
    (400, "ExpiredToken", Misconfigured, "expired"),
    (401, "Unauthorized", Misconfigured, "denied"),
    (400, "AuthorizationHeaderMalformed", Misconfigured, "region"),
    (501, "NotImplemented", Misconfigured, "501 NotImplemented"),
    (400, "InvalidArgument", Misconfigured, "400 InvalidArgument"),
    (400, "RequestTimeout", Retryable, "store_unavailable"),
    (409, "ConditionalRequestConflict", Retryable, "store_unavailable"),
    (404, "NoSuchUpload", Retryable, "store_unavailable"),
    (429, "TooManyRequests", Retryable, "store_unavailable"),
    (500, "InternalError", Retryable, "store_unavailable"),
    (404, "NoSuchKey", ObjectMissing, "no such object"),
    (412, "PreconditionFailed", ObjectExists, "exists"),
)


async def test_every_answer_has_its_meaning(wire: WireS3, s3: ObjectStore) -> None:
    for status, code, expected, words in CODES:
        wire.before = always(error(status, code))
        with pytest.raises(expected, match=words) as raised:
            await s3.put(KEY, b"1")
        assert "acme" not in str(raised.value)


async def test_half_an_answer_is_trouble(wire: WireS3, s3: ObjectStore) -> None:
    await s3.put(KEY, b"x" * 3 * MIB)
    wire.after = always(Answer(body=b"x" * 3 * MIB, drop="half"))
    with pytest.raises(Retryable):
        await whole(s3.read(KEY))


async def test_silence_ends_at_the_timeout(wire: WireS3) -> None:
    wire.before = always(Answer(headers={"Content-Length": "5"}))  # five bytes that never come
    async with open_s3(BUCKET, StoreLimits(read_timeout=0.1, tries=1)) as objects:
        with pytest.raises(Retryable):
            await objects.get(KEY, limit=9)


@pytest.fixture
def between(wire: WireS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[proxy.Proxy]:
    """What stands between the store and clients that are opened from now on."""
    with proxy.proxies(store=urlsplit(os.environ["AWS_ENDPOINT_URL_S3"]).netloc) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{made['store'].address}")
        yield made["store"]


async def test_a_put_into_silence_ends_as_well(between: proxy.Proxy) -> None:
    """It waits for "100 Continue", on a connection that was accepted."""
    async with open_s3(BUCKET, StoreLimits(read_timeout=0.1, request_timeout=0.5, tries=2)) as objects:
        await objects.put(KEY, b"once")
        between.both(proxy.Fault(silent=True))
        async with asyncio.timeout(5):
            with pytest.raises(Retryable):
                await objects.put(KEY, b"again")
    assert between.hits["silent"] >= 2


async def test_reading_may_take_longer_than_a_request(wire: WireS3, between: proxy.Proxy) -> None:
    wire.objects[KEY] = (b"x" * 600_000, datetime.now(UTC))
    between.replies = proxy.Fault(rate=600_000)
    async with open_s3(BUCKET, StoreLimits(read_timeout=2, request_timeout=0.5, tries=1)) as objects:
        began = time.monotonic()
        assert sum(map(len, await whole(objects.read(KEY)))) == 600_000
        assert time.monotonic() - began > 0.6


async def test_a_part_that_fails_ends_the_upload_and_leaves_no_parts(wire: WireS3, s3: ObjectStore) -> None:
    await s3.put(KEY, b"old")
    refused = error(403, "AccessDenied")
    wire.before = lambda asked: refused if asked.query.get("partNumber") == "2" else None
    with pytest.raises(Retryable, match="store_denied"):  # a small object may be put: it is not our rights
        await stream(s3, size=200 * MIB)
    assert wire.uploads == {}
    assert wire.objects[KEY][0] == b"old"
    assert len([asked for asked in wire.asked if "partNumber" in asked.query]) < 8  # not all 25 were sent


async def test_an_abort_that_fails_hides_no_error(wire: WireS3, s3: ObjectStore) -> None:
    wire.before = lambda asked: error(403, "AccessDenied") if asked.method in {"PUT", "DELETE"} else None
    with pytest.raises(Misconfigured, match="s3:PutObject denied"):
        await stream(s3)


async def test_a_completion_whose_reply_is_lost_is_trouble_though_the_object_is_there(
    wire: WireS3, s3: ObjectStore
) -> None:
    def lost(asked: Asked) -> Answer | None:
        return Answer(drop="before") if asked.method == "POST" and "uploadId" in asked.query else None

    wire.after = lost
    with pytest.raises(Retryable):
        await stream(s3)
    assert len(wire.objects[KEY][0]) == 20 * MIB


async def test_a_create_whose_reply_is_lost_meets_its_own_object(wire: WireS3, s3: ObjectStore) -> None:
    wire.after = times(1, Answer(drop="before"))
    async with open_s3(BUCKET, StoreLimits(tries=2)) as patient:
        with pytest.raises(ObjectExists):
            await patient.put(KEY, b"mine", create_only=True)
    assert await s3.get(KEY, limit=9) == b"mine"


async def test_small_streams_are_one_request_and_large_ones_parts(wire: WireS3, s3: ObjectStore) -> None:
    await stream(s3, size=7 * MIB)
    assert [asked.method for asked in wire.asked] == ["PUT"]
    wire.asked.clear()
    await stream(s3)
    sizes = sorted(len(asked.body) for asked in wire.asked if "partNumber" in asked.query)
    assert sizes == [4 * MIB, 8 * MIB, 8 * MIB]


async def test_payloads_are_neither_signed_nor_summed(wire: WireS3, s3: ObjectStore) -> None:
    await stream(s3)
    await s3.put(KEY, b"1")
    bodies = [asked for asked in wire.asked if asked.body and asked.method == "PUT"]
    assert {asked.headers["x-amz-content-sha256"] for asked in bodies} == {"UNSIGNED-PAYLOAD"}
    assert not [name for asked in bodies for name in asked.headers if "checksum" in name or name == "content-md5"]


async def test_a_slow_store_holds_the_writer_back(wire: WireS3, s3: ObjectStore) -> None:
    """At most three parts are in flight and one is filled, so the writer cannot run ahead."""
    written = 0
    seen: list[int] = []

    def note(asked: Asked) -> None:
        if "partNumber" in asked.query:
            seen.append(written - 8 * MIB * int(asked.query["partNumber"]))

    wire.before = note
    async with s3.writing(KEY) as writer:
        for _ in range(100):
            await writer.write(b"x" * MIB)
            written += MIB
    assert max(seen) <= 4 * 8 * MIB


async def test_settings_that_cannot_be_used_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not a url")
    with pytest.raises(Misconfigured, match="the S3 settings cannot be used"):
        async with open_s3(BUCKET, StoreLimits()):
            pass


async def test_missing_credentials_are_ours_to_fix(monkeypatch: pytest.MonkeyPatch, wire: WireS3) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    async with open_s3(BUCKET, StoreLimits(tries=1)) as objects:
        with pytest.raises(Misconfigured, match="credentials"):
            await objects.put(KEY, b"1")
