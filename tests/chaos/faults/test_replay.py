"""The whole log again, twice and in any order: nothing happens that has not happened already."""

import asyncio
from random import Random

import asyncpg
import pytest
from tests.chaos.faults.bus import Sent, send
from tests.chaos.faults.house import House
from tests.chaos.faults.people import street
from tests.system.reading import read_log
from tests.system.waiting import eventually

from lifemask.cli.plan import SERVICES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

SEED = 20_261_121
PASSING = ("inbox", "lane", "reminder", "outbox")
"""Tables whose rows say how work went (claims, times of sending); their number is compared, not their text."""


async def test_a_finished_history_that_comes_again_changes_nothing(home: House) -> None:
    async with street(home) as there:
        runs = await there.busy(4, seconds=0.5)
        await there.all_ready(runs)
        before, ledger = await rows_of(home), await there.outside.ledger()
        got = await again(home)
        await there.all_ready(runs)
        assert got > 100
        assert await rows_of(home) == before
        after = await there.outside.ledger()
        assert [after[name] for name in ("trainings", "commits")] == [ledger[name] for name in ("trainings", "commits")]
        for person in runs.values():
            assert len(await there.outside.mails(person.email)) == 1


async def test_a_log_that_comes_again_in_the_middle_of_runs_changes_nothing(home: House) -> None:
    async with street(home) as there:
        runs = await there.busy(4, seconds=3)
        for _ in range(3):
            await again(home)
            await asyncio.sleep(0.7)
        await there.all_ready(runs)


async def test_without_the_memory_of_what_came_it_would_be_seen(home: House) -> None:
    """The control: where nobody remembers it, the same log is taken in."""
    async with street(home) as there:
        runs = await there.busy(2, seconds=0.5)
        await there.all_ready(runs)
        rows = await asyncpg.connect(home.dsn)
        try:
            await rows.execute("delete from notifier.inbox")
            await again(home)

            async def taken_in() -> object:
                return await rows.fetchval("select count(*) from notifier.inbox where done_at is not null")

            await eventually(taken_in)
        finally:
            await rows.close()


async def again(home: House) -> int:
    """Everything twice, shuffled; returns how many records that were."""
    records = [
        Sent(one.topic, one.key, one.value, list(one.headers)) for one in await read_log(home.kafka) for _ in range(2)
    ]
    Random(SEED).shuffle(records)
    await send(home, records)
    return len(records)


async def rows_of(home: House) -> dict[str, str]:
    """Every table of every service, sorted; of those that tell how work went, the number of rows."""
    rows = await asyncpg.connect(home.dsn)
    found = {}
    try:
        tables = await rows.fetch(
            "select schemaname, tablename from pg_tables where schemaname = any($1::text[])", list(SERVICES)
        )
        for schema, table in tables:
            what = (
                "count(*)::text" if table in PASSING else "coalesce(string_agg(t::text, chr(10) order by t::text), '')"
            )
            found[f"{schema}.{table}"] = await rows.fetchval(f'select {what} from "{schema}"."{table}" t')
    finally:
        await rows.close()
    return found
