"""What no consumer can decode holds up nobody, and is told; what cannot be explained ends the process."""

import struct
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator
from aiokafka.record.util import calc_crc32c
from tests.bus.running import a_broker, running, send, settings_for, until
from tests.bus.test_broker import Seen, done, judging, photos

from lifemask.bus.inbound import Raw
from lifemask.bus.service import open_bus
from lifemask.contracts import Stage, Topic

Make = Callable[[str], Awaitable[str]]
MARK = "QQQQ"
"""Header of the records whose batch is spoiled on its way."""


def name_without_text(batch: bytearray) -> None:
    place = bytes(batch).index(MARK.encode())
    batch[place : place + 4] = b"\xff\xfe\xfd\xfc"


def codec(number: int) -> Callable[[bytearray], None]:
    def spoil(batch: bytearray) -> None:
        struct.pack_into(">h", batch, 21, struct.unpack_from(">h", batch, 21)[0] & ~7 | number)

    return spoil


def spoiled(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[bytearray], None]) -> None:
    """Producers of this test spoil the batches that have the mark; checksums stay right."""
    build = message_accumulator.BatchBuilder._build

    def spoiling(self: message_accumulator.BatchBuilder) -> bytearray:
        batch = bytearray(build(self))
        if MARK.encode() in batch:
            spoil(batch)
            struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
            self._buffer = batch
        return batch

    monkeypatch.setattr(message_accumulator.BatchBuilder, "_build", spoiling)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (name_without_text, "UnicodeDecodeError"),
        (codec(1), None),
        (codec(2), None),
        (codec(3), None),
        (codec(4), None),
        (codec(7), "UnsupportedCodecError"),
    ],
    ids=["header", "gzip", "snappy", "lz4", "zstd", "unknown codec"],
)
async def test_a_batch_that_nobody_can_decode_is_passed_over_and_told(
    database: Make, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[bytearray], None], error: str | None
) -> None:
    good, seen = photos(12), Seen()
    bad = Raw(good[0].topic, "", good[0].key, good[0].value, [*good[0].headers, (MARK, b"x")])
    with a_broker(2) as broker:
        with monkeypatch.context() as changed:
            spoiled(changed, spoil)
            for part in (good[:4], [bad], good[4:8], [bad, bad]):
                await send(broker, part, partition=0)
        await send(broker, good[8:], partition=1)
        async with open_bus("packager", Stage.PACKAGE, settings_for(broker, await database("packager"))) as bus:
            async with running(judging(bus, seen)) as task:
                await until(lambda: done(bus.pool, 12))
                assert not task.done()
            entries = await bus.pool.fetch("select reason, type, topic, user_id, headers from security order by id")
    assert sorted(seen.users) == sorted(one.key.decode() for one in good if one.key)
    told = [(each["reason"], each["type"], each["topic"], each["user_id"]) for each in entries]
    assert told == [
        ("undecodable", "unreadable", f"{Topic.PHOTOS}/0/4-4", None),
        ("undecodable", "unreadable", f"{Topic.PHOTOS}/0/9-10", None),
    ]
    assert error is None or error in entries[0]["headers"]


async def test_good_records_before_the_bad_one_of_a_batch_are_kept(
    database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, seen = photos(3), Seen()
    bad = Raw(good[0].topic, "", good[0].key, good[0].value, [*good[0].headers, (MARK, b"x")])
    with a_broker(1) as broker:
        with monkeypatch.context() as changed:
            spoiled(changed, name_without_text)
            await send(broker, [*good[:2], bad], partition=0)
        await send(broker, good[2:], partition=0)
        async with open_bus("packager", Stage.PACKAGE, settings_for(broker, await database("packager"))) as bus:
            async with running(judging(bus, seen)):
                await until(lambda: done(bus.pool, 3))
            places = await bus.pool.fetch("select topic from security")
    assert len(seen.users) == 3
    assert [each["topic"] for each in places] == [f"{Topic.PHOTOS}/0/2-2"]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_producer_may_compress_as_it_likes(database: Make, compression: str) -> None:
    good, seen = photos(20), Seen()
    with a_broker(1) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=compression, linger_ms=50)
        await send(broker, good, by=producer)
        settings = settings_for(broker, await database("packager"))
        async with open_bus("packager", Stage.PACKAGE, settings) as bus, running(judging(bus, seen)):
            await until(lambda: done(bus.pool, 20))
    assert len(seen.users) == 20
