"""A 403: about one object, which is its lane's affair, or about our rights, which stops the stage."""

from collections.abc import AsyncIterator, Callable

import pytest
from tests.objects.wire import BUCKET, Answer, Asked, WireS3, error, wired

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode, new_id
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore, StoreLimits
from lifemask.objects.s3 import open_s3

RUN = new_id()
ONE, OTHER = keys.clean("acme.ann", RUN, new_id()), keys.clean("acme.bob", RUN, new_id())
DENIED = error(403, "AccessDenied")
Rule = Callable[[Asked], bool]


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireS3]:
    async with wired(monkeypatch) as store:
        yield store


@pytest.fixture
async def s3(wire: WireS3) -> AsyncIterator[ObjectStore]:
    async with open_s3(BUCKET, StoreLimits(tries=1)) as objects:
        yield objects


def denies(wire: WireS3, *rules: Rule) -> None:
    def before(asked: Asked) -> Answer | None:
        return DENIED if any(rule(asked) for rule in rules) else None

    wire.before = before


def reading(asked: Asked) -> bool:
    return asked.method in {"GET", "HEAD"} and asked.key != ""


def listing(asked: Asked) -> bool:
    return asked.method == "GET" and asked.key == ""


def missing(wire: WireS3) -> Rule:
    """What S3 says of a missing object to whoever may not list."""
    return lambda asked: reading(asked) and asked.key not in wire.objects


async def copied(s3: ObjectStore) -> None:
    async with s3.writing(keys.archive("acme.ann", RUN, 1)) as writer:
        async for chunk in s3.read(ONE):
            await writer.write(chunk)


async def test_one_forbidden_object_is_its_lanes_affair(wire: WireS3, s3: ObjectStore) -> None:
    await s3.put(ONE, b"1")
    denies(wire, lambda asked: asked.key == ONE)
    several = s3.get_each([ONE], limit=9)
    for call in (s3.get(ONE, limit=9), several, s3.head(ONE), s3.put(ONE, b"2"), s3.delete(ONE)):
        with pytest.raises(Retryable) as told:
            await call
        assert told.value.code is FailureCode.STORE_DENIED
        assert told.value.counts


async def test_a_right_that_is_gone_stops_the_stage_and_is_named(wire: WireS3, s3: ObjectStore) -> None:
    await s3.put(ONE, b"1")
    denies(wire, reading)
    with pytest.raises(Misconfigured, match=r"^store_denied: s3:GetObject denied on photos/users/… \(s3:ListBucket ok"):
        await s3.get(ONE, limit=9)
    denies(wire, lambda asked: asked.method == "DELETE")
    with pytest.raises(Misconfigured, match="s3:DeleteObject denied"):
        await s3.delete(ONE)
    denies(wire, lambda asked: asked.method in {"PUT", "POST"})
    with pytest.raises(Misconfigured, match="s3:PutObject denied"):
        async with s3.writing(ONE) as writer:
            await writer.write(b"2")


async def test_where_listing_is_denied_a_neighbour_that_was_read_decides(wire: WireS3, s3: ObjectStore) -> None:
    await s3.put(OTHER, b"1")
    denies(wire, missing(wire), listing)
    with pytest.raises(Misconfigured, match="s3:ListBucket denied, too"):
        await s3.get(ONE, limit=9)
    assert await s3.get(OTHER, limit=9) == b"1"
    with pytest.raises(Retryable) as told:
        await s3.get(ONE, limit=9)
    assert (told.value.code, told.value.counts) == (FailureCode.STORE_DENIED, False)


async def test_a_refusal_inside_a_write_is_judged_by_its_own_right(wire: WireS3, s3: ObjectStore) -> None:
    denies(wire, reading)
    with pytest.raises(Misconfigured, match="s3:GetObject denied"):
        await copied(s3)


async def test_a_store_that_goes_away_meanwhile_is_trouble(wire: WireS3, s3: ObjectStore) -> None:
    wire.before = lambda asked: DENIED if asked.key == ONE else error(503, "SlowDown")
    with pytest.raises(Retryable) as told:
        await s3.get(ONE, limit=9)
    assert told.value.code is FailureCode.STORE_UNAVAILABLE


async def test_asking_leaves_nothing_behind(wire: WireS3, s3: ObjectStore) -> None:
    denies(wire, lambda asked: asked.key == ONE)
    for call in (s3.get(ONE, limit=9), s3.put(ONE, b"2"), s3.delete(ONE)):
        with pytest.raises(Retryable):
            await call
    assert not wire.objects
    assert not wire.uploads
