"""Answers that nobody needs at once are held back.

Whoever floods over a few connections waits for them, instead of keeping the process busy with saying no while everybody
else waits.
"""

import asyncio
from typing import Final

_MOST: Final = 200
"""Answers held back at once; each is a connection. More are sent at once."""


class Delay:
    """A wait of so many seconds, for a bounded number at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held = 0

    async def wait(self) -> None:
        """Call it when everything that others might need is given back."""
        if self._held >= _MOST:
            return
        self._held += 1
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self._held -= 1
