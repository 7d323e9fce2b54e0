"""From settings to the running image-validator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from lifemask.bus.service import Service, open_bus
from lifemask.contracts import Stage
from lifemask.custody import Chain, Refusals, RowCodes, refusing
from lifemask.image_validator.adapters import heic
from lifemask.image_validator.adapters.custody import CustodyChain
from lifemask.image_validator.adapters.imaging import open_imaging
from lifemask.image_validator.adapters.postgres import PostgresPhotos
from lifemask.image_validator.adapters.store import StoredGallery
from lifemask.image_validator.handlers import HANDLERS, close_run
from lifemask.image_validator.needs import NEEDS
from lifemask.image_validator.settings import ImageValidatorSettings
from lifemask.objects import open_objects


@asynccontextmanager
async def image_validator(settings: ImageValidatorSettings) -> AsyncIterator[Service]:
    """The service, ready to run; everything it opened is closed at the end."""
    policy = replace(settings.policy, heic=settings.photo_heic and heic.is_installed())
    with open_imaging(policy, settings.imaging_threads) as imaging:
        async with (
            open_objects(settings.objects, settings.store_limits) as objects,
            open_bus("image-validator", Stage.VALIDATE, settings) as bus,
        ):
            chain = Chain(objects, bus.signer, bus.trust)
            photos = PostgresPhotos(bus.rows, RowCodes(bus.signer))
            yield bus.serve(
                refusing(HANDLERS, Refusals(objects, chain)),
                checkup=NEEDS.checkup(settings),
                chain=CustodyChain(objects, chain),
                gallery=StoredGallery(objects, policy),
                imaging=imaging,
                photos=photos,
                policy=policy,
                quota=settings.quota,
                writer=photos.write,
                on_end=close_run,
            )
