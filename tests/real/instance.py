"""One process of a small service that seals whatever was validated, as it runs in production.

python -m tests.real.instance
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.service import Service, open_bus
from lifemask.contracts import DatasetSealed, PhotosValidated, Stage
from lifemask.runtime.main import run
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import an_event


async def seal(event: PhotosValidated) -> Sequence[Outcome]:
    return [an_event(DatasetSealed, **event.run)]


@asynccontextmanager
async def sealing(settings: ServiceSettings) -> AsyncIterator[Service]:
    async with open_bus("packager", Stage.PACKAGE, settings) as bus:
        yield bus.serve([on(PhotosValidated, seal, brings="run")])


if __name__ == "__main__":
    run("packager", sealing, ServiceSettings)
