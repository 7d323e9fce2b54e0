"""A process of a small service that seals whatever was validated, for measurements: `python -m bench.sealing`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.events import seal

from lifemask.bus.outcomes import on
from lifemask.bus.service import Service, open_bus
from lifemask.contracts import PhotosValidated, Stage
from lifemask.runtime.main import run
from lifemask.runtime.settings import ServiceSettings


@asynccontextmanager
async def sealing(settings: ServiceSettings) -> AsyncIterator[Service]:
    async with open_bus("packager", Stage.PACKAGE, settings) as bus:
        yield bus.serve([on(PhotosValidated, seal, brings="run")])


if __name__ == "__main__":
    run("packager", sealing, ServiceSettings)
