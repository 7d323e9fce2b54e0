"""Dead letters of a house, and what an operator does about them."""

from typing import Any

import asyncpg
from tests.chaos.faults.house import House
from tests.system.commands import command

from lifemask.cli.plan import SERVICES


async def operator_says(home: House, act: str, letter: str) -> tuple[int, list[dict[str, Any]]]:
    return await command(home, "dead-letters", act, letter, "--yes")


async def letters(home: House) -> set[str]:
    rows = await asyncpg.connect(home.dsn)
    try:
        found = set[str]()
        for service in SERVICES:
            for row in await rows.fetch(
                f"select seq from {service}.inbox where dead_at is not null and done_at is null"
            ):
                found.add(f"{service}/{row['seq']}")
        return found
    finally:
        await rows.close()


async def more_letters(home: House, before: set[str], count: int) -> list[str]:
    found = sorted(await letters(home) - before)
    assert len(found) <= count, found
    return found if len(found) == count else []
