"""A service of its own process, for the tests of how a process starts and ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.service import Service, open_bus
from lifemask.contracts import DatasetSealed, PhotosValidated, Stage
from lifemask.runtime.main import run
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import an_event

STUCK = 999
"""Photos of a run whose handler goes on whatever it is told."""


async def seal(event: PhotosValidated) -> Sequence[Outcome]:
    while event.received == STUCK:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    return [an_event(DatasetSealed, **event.run)]


@asynccontextmanager
async def sealing(settings: ServiceSettings) -> AsyncIterator[Service]:
    async with open_bus("packager", Stage.PACKAGE, settings) as bus:
        yield bus.serve([on(PhotosValidated, seal, brings="run")])


if __name__ == "__main__":
    run("packager", sealing, ServiceSettings)
