"""Intake and relay against a broker on the wire: nothing lost, nothing twice, whatever the broker does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import pytest
from tests.bus.lab import record
from tests.bus.running import a_broker, as_owner, read_all, running, send, settings_for, until

from lifemask.bus.inbound import Raw
from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.rows import Pool
from lifemask.bus.service import Bus, Service, open_bus
from lifemask.contracts import DatasetSealed, PhotoJudged, Stage, Topic, new_id
from lifemask.testkit.events import a_run, an_event

Make = Callable[[str], Awaitable[str]]


class Seen:
    """A handler that only counts."""

    def __init__(self) -> None:
        self.users: list[str] = []

    async def look(self, event: PhotoJudged | DatasetSealed) -> Sequence[Outcome]:
        self.users.append(event.user_id)
        return []


def judging(bus: Bus, seen: Seen) -> Service:
    return bus.serve([on(PhotoJudged, seen.look)])


def photos(count: int) -> list[Raw]:
    return [record(an_event(PhotoJudged, **a_run(), photo_id=new_id())) for _ in range(count)]


async def test_one_bad_header_costs_no_other_record(database: Make) -> None:
    good, seen = photos(100), Seen()
    null = Raw(Topic.PHOTOS, "", b"acme.u", b"{}", [("ce_type", None)])
    binary = Raw(Topic.PHOTOS, "", b"acme.u", b"{}", [("ce_type", b"\xff\xfe"), ("x\0", b"\0")])
    harmless = Raw(good[0].topic, "", good[0].key, good[0].value, [*good[0].headers, ("y", None), ("z", b"\xff\0")])
    tombstone = Raw(good[1].topic, "", good[1].key, None, good[1].headers)
    with a_broker() as broker:
        await send(broker, [harmless, *good[1:50], null, binary, tombstone, *good[50:]], partition=0)
        async with open_bus("packager", Stage.PACKAGE, settings_for(broker, await database("packager"))) as bus:
            async with running(judging(bus, seen)):
                await until(lambda: done(bus.pool, 100))
            refused = await bus.pool.fetch("select reason, type from security order by type")
    assert sorted(seen.users) == sorted(one.key.decode() for one in good if one.key)
    assert [tuple(one) for one in refused] == [
        ("bad signature", PhotoJudged.ce_type),
        ("unsigned", "unreadable"),
        ("unsigned", "unreadable"),
    ]


async def done(pool: Pool, count: int) -> bool:
    return bool(await pool.fetchval("select count(*) = $1 from inbox where done_at is not null", count))


async def test_what_cannot_be_stored_is_not_acknowledged(database: Make, postgres: str) -> None:
    dsn, seen = await database("packager"), Seen()
    admin = await asyncpg.connect(as_owner(postgres, dsn))
    with a_broker() as broker:
        async with open_bus("packager", Stage.PACKAGE, settings_for(broker, dsn, kafka_batch=5)) as bus:
            working = asyncio.create_task(judging(bus, seen).run())
            await send(broker, photos(1))
            await until(lambda: done(bus.pool, 1))
            await admin.execute("alter table packager.inbox rename to away")
            await send(broker, photos(20))
            with pytest.raises(ExceptionGroup) as broken:
                await asyncio.wait_for(working, 10)
        assert broken.group_contains(asyncpg.UndefinedTableError)
        await admin.execute("alter table packager.away rename to inbox")
        await admin.close()
        async with open_bus("packager", Stage.PACKAGE, settings_for(broker, dsn)) as bus, running(judging(bus, seen)):
            await until(lambda: done(bus.pool, 21))
    assert len(seen.users) == 21


async def test_the_relay_outlives_a_broker_that_goes_and_comes(database: Make) -> None:
    with a_broker() as broker:
        settings = settings_for(broker, await database("packager"))
        async with open_bus("packager", Stage.PACKAGE, settings) as bus, running(judging(bus, Seen())):
            await say(bus, "first")
            await until(lambda: all_sent(bus))
            broker.set_down()
            await say(bus, "second")
            assert not await all_sent(bus)
            broker.set_up()
            await until(lambda: all_sent(bus))
        assert len({one["ce_id"] for one in await read_all(broker, Topic.PHOTOS)}) == 2


async def say(bus: Bus, cause: str) -> None:
    run = a_run()
    assert await bus.commit(run["user_id"], [an_event(PhotoJudged, **run)], cause=cause)


async def all_sent(bus: Bus) -> bool:
    return not await bus.pool.fetchval("select count(*) from outbox where sent_at is null")


async def test_an_empty_broker_is_filled_again_and_nobody_acts_twice(database: Make) -> None:
    speaker, listener, seen = await database("image-validator"), await database("packager"), Seen()
    for name in ("one", "two"):
        with a_broker() as broker:
            mine = settings_for(broker, speaker, broker_id=name)
            theirs = settings_for(broker, listener, broker_id=name)
            async with (
                open_bus("image-validator", Stage.VALIDATE, mine) as validator,
                open_bus("packager", Stage.PACKAGE, theirs) as packager,
            ):
                service = judging(packager, seen)
                async with running(validator.serve([on(DatasetSealed, seen.look)])), running(service):
                    for number in range(5):
                        await say(validator, f"{name}/{number}")
                    total = 5 if name == "one" else 10
                    await until(lambda total=total, pool=packager.pool: done(pool, total))  # type: ignore[misc] # bound
                    await until(lambda bus=validator: all_sent(bus))  # type: ignore[misc] # bound
            published = await read_all(broker, Topic.PHOTOS)
            assert len({one["ce_id"] for one in published}) == len(published) == total
    assert len(seen.users) == len(set(seen.users)) == 10


async def test_of_two_relays_one_leads_and_the_other_takes_over(database: Make) -> None:
    dsn = await database("packager")
    with a_broker() as broker:
        settings = settings_for(broker, dsn)
        async with open_bus("packager", Stage.PACKAGE, settings) as bus:
            relays = [asyncio.create_task(judging(bus, Seen()).relay.run()) for _ in range(2)]
            await until(lambda: leaders(bus))
            for number in range(20):
                await say(bus, str(number))
            await until(lambda: all_sent(bus))
            leader = await leaders(bus)
            assert len(leader) == 1
            await bus.pool.execute("select pg_terminate_backend($1)", leader[0])
            await asyncio.wait(relays, return_when=asyncio.FIRST_COMPLETED)
            await say(bus, "later")
            await until(lambda: all_sent(bus))
            assert await leaders(bus) != leader
            for relay in relays:
                relay.cancel()
            ends = await asyncio.gather(*relays, return_exceptions=True)
            assert sum(not isinstance(end, asyncio.CancelledError) for end in ends) == 1
        assert len(await read_all(broker, Topic.PHOTOS)) == 21


async def leaders(bus: Bus) -> list[int]:
    rows = await bus.pool.fetch(
        "select pid from pg_locks l join pg_database d on d.oid = l.database "
        "where locktype = 'advisory' and granted and datname = current_database()"
    )
    return [row["pid"] for row in rows]
