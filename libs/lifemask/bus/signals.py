"""Wake-up calls between the loops of one process. Only hints: every loop also looks by itself."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Signals:
    """One event per loop; set when there may be something to do."""

    lanes: asyncio.Event = field(default_factory=asyncio.Event)
    reminders: asyncio.Event = field(default_factory=asyncio.Event)
    outbox: asyncio.Event = field(default_factory=asyncio.Event)
    batons: asyncio.Event = field(default_factory=asyncio.Event)

    def stored(self) -> None:
        """Outcomes were committed: events may wait for the relay, reminders may be due."""
        self.outbox.set()
        self.reminders.set()

    @staticmethod
    async def wait(event: asyncio.Event, seconds: float) -> None:
        """Waits until `event` is set, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
