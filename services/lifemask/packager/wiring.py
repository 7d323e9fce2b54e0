"""From settings to the running packager."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lifemask.bus.service import Service, open_bus
from lifemask.contracts import Stage
from lifemask.custody import Chain, Refusals, refusing
from lifemask.objects import open_objects
from lifemask.packager.adapters.archive import ZipArchive
from lifemask.packager.adapters.custody import CustodyChain
from lifemask.packager.handlers import HANDLERS
from lifemask.packager.needs import NEEDS
from lifemask.packager.settings import PackagerSettings


@asynccontextmanager
async def packager(settings: PackagerSettings) -> AsyncIterator[Service]:
    """The service, ready to run; everything it opened is closed at the end."""
    async with (
        open_objects(settings.objects, settings.store_limits) as objects,
        open_bus("packager", Stage.PACKAGE, settings) as bus,
    ):
        chain = Chain(objects, bus.signer, bus.trust)
        yield bus.serve(
            refusing(HANDLERS, Refusals(objects, chain)),
            checkup=NEEDS.checkup(settings),
            chain=CustodyChain(chain),
            archive=ZipArchive(objects),
            minimum=settings.minimum,
        )
