"""Waiting for what other processes do: a condition and a bound."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], seconds: float = 20.0, *, every: float = 0.03) -> T:
    """The first true answer of `look`. Fails with the last answer after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = await look()
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds:g} s; last seen: {found!r}"
        await asyncio.sleep(every)
