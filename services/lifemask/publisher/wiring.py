"""From settings to the running publisher."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lifemask.bus.service import Service, open_bus
from lifemask.contracts import Stage
from lifemask.custody import Chain, Refusals, refusing
from lifemask.objects import open_objects
from lifemask.publisher.adapters.custody import CustodyChain
from lifemask.publisher.adapters.hub import open_hub
from lifemask.publisher.adapters.postgres import PostgresPublications, write_row
from lifemask.publisher.adapters.store import StoredModels
from lifemask.publisher.domain import HubNames
from lifemask.publisher.handlers import HANDLERS, withdraw_unless_ready
from lifemask.publisher.needs import NEEDS
from lifemask.publisher.settings import PublisherSettings


@asynccontextmanager
async def publisher(settings: PublisherSettings) -> AsyncIterator[Service]:
    """The service, ready to run; everything it opened is closed at the end."""
    async with (
        open_objects(settings.objects, settings.store_limits) as objects,
        open_hub(
            objects,
            token=settings.hf_token.get_secret_value(),
            endpoint=settings.hf_endpoint,
            patience=settings.hub_timeout,
            threads=settings.hub_threads,
        ) as hub,
        open_bus("publisher", Stage.PUBLISH, settings) as bus,
    ):
        chain = Chain(objects, bus.signer, bus.trust)
        yield bus.serve(
            refusing(HANDLERS, Refusals(objects, chain)),
            checkup=NEEDS.checkup(settings),
            chain=CustodyChain(objects, chain),
            publications=PostgresPublications(bus.rows),
            store=StoredModels(objects),
            hub=hub,
            names=HubNames(settings.hf_namespace if settings.hub_publish else "", settings.hub_prefix),
            writer=write_row,
            on_end=withdraw_unless_ready,
        )
