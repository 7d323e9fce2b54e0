"""From settings to the running trainer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.bus.service import Service, open_bus
from lifemask.contracts import Stage
from lifemask.custody import Chain, Refusals, refusing
from lifemask.objects import open_objects
from lifemask.objects.archives import PresignedLinks
from lifemask.objects.port import ObjectStore
from lifemask.objects.tokens import Tokens, load_secret
from lifemask.trainer.adapters.addresses import PresignedAddresses, TokenAddresses, may_be_called
from lifemask.trainer.adapters.asking import write_and_ask
from lifemask.trainer.adapters.custody import CustodyChain
from lifemask.trainer.adapters.postgres import PostgresAttempts
from lifemask.trainer.adapters.replicate import Account, ReplicateTrainings, open_trainings
from lifemask.trainer.adapters.weights import Limits, open_weights
from lifemask.trainer.handlers import HANDLERS, stop_run
from lifemask.trainer.needs import NEEDS
from lifemask.trainer.settings import TrainerSettings

log = structlog.get_logger()


@asynccontextmanager
async def trainer(settings: TrainerSettings) -> AsyncIterator[Service]:
    """The service, ready to run; everything it opened is closed at the end."""
    if not may_be_called(settings.public_url):
        log.warning("no_callbacks", reason="LIFEMASK_PUBLIC_URL is neither https nor on this machine; looks must do")
    async with (
        open_objects(settings.objects, settings.store_limits) as objects,
        open_trainings(
            settings.replicate_api_token.get_secret_value(), settings.replicate_base_url, _account(settings)
        ) as trainings,
        open_weights(objects, _limits(settings)) as weights,
        open_bus("trainer", Stage.TRAIN, settings) as bus,
    ):
        await _prepare(trainings)
        chain = Chain(objects, bus.signer, bus.trust)
        yield bus.serve(
            refusing(HANDLERS, Refusals(objects, chain)),
            checkup=NEEDS.checkup(settings),
            attempts=PostgresAttempts(bus.rows),
            chain=CustodyChain(objects, chain, settings.photos_min),
            trainings=trainings,
            weights=weights,
            addresses=_addresses(settings, objects),
            policy=settings.policy,
            writer=write_and_ask,
            on_end=stop_run,
        )


async def _prepare(trainings: ReplicateTrainings) -> None:
    """Trouble is told at the start already; it ends nothing, because what runs must still be looked at."""
    try:
        await trainings.prepare()
    except (Retryable, Misconfigured) as problem:
        log.error("provider_not_ready", problem=str(problem))  # noqa: TRY400 - expected trouble needs no traceback


def _addresses(settings: TrainerSettings, objects: ObjectStore) -> TokenAddresses:
    tokens = Tokens(load_secret(settings.keys))
    if settings.archive_urls == "gateway":
        return TokenAddresses(settings.public_url, tokens)
    if not isinstance(objects, PresignedLinks):
        raise TypeError("this store signs no addresses")
    log.warning("archives_presigned", reason="what the provider fetches is neither checked nor on record")
    return PresignedAddresses(settings.public_url, tokens, objects)


def _account(settings: TrainerSettings) -> Account:
    return Account(
        destination=settings.replicate_destination,
        hardware=settings.replicate_hardware,
        call=settings.provider_timeout,
        create=settings.create_timeout,
        pages=settings.provider_pages,
    )


def _limits(settings: TrainerSettings) -> Limits:
    return Limits(
        bytes=settings.weight_bytes,
        seconds=settings.weight_timeout,
        silence=settings.weight_silence,
        insecure=settings.replicate_base_url.startswith("http://"),
    )
