"""From settings to the running ingest."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx

from lifemask.bus.service import Bus, Service, open_bus
from lifemask.contracts import Stage
from lifemask.custody import Chain, Refusals, refusing
from lifemask.ingest.acts.office import Office
from lifemask.ingest.adapters.apps import AppsFile
from lifemask.ingest.adapters.archives import TokenArchives
from lifemask.ingest.adapters.custody import UploadCustody
from lifemask.ingest.adapters.desk import TracedDesk
from lifemask.ingest.adapters.gate import gate, signers
from lifemask.ingest.adapters.leftovers import StoredLeftovers
from lifemask.ingest.adapters.links import TokenLinks
from lifemask.ingest.adapters.postgres import PostgresRuns
from lifemask.ingest.adapters.replicate import ReplicateSecrets
from lifemask.ingest.adapters.spans import TelemetrySpans
from lifemask.ingest.adapters.store import StoredIncoming, StoredNames, StoredOriginals, StoredPapers
from lifemask.ingest.adapters.sweep import sweeping
from lifemask.ingest.adapters.targets import StoredTargets
from lifemask.ingest.adapters.web import GuardedWeb
from lifemask.ingest.adapters.writing import RowWriter
from lifemask.ingest.handlers import HANDLERS
from lifemask.ingest.handlers.following import on_end
from lifemask.ingest.http.app import create_app
from lifemask.ingest.needs import NEEDS
from lifemask.ingest.settings import IngestSettings
from lifemask.objects import open_objects
from lifemask.objects.port import ObjectStore
from lifemask.objects.tokens import Tokens, load_secret


@asynccontextmanager
async def ingest(settings: IngestSettings) -> AsyncIterator[Service]:
    """The service with its API, ready to run; everything it opened is closed at the end."""
    async with (
        open_objects(settings.objects, settings.store_limits) as objects,
        _provider(settings) as http,
        aclosing(GuardedWeb(settings.url_door_allow, settings.fetch_seconds)) as web,
        open_bus("ingest", Stage.REQUEST, settings) as bus,
        sweeping(objects, Chain(objects, bus.signer, bus.trust), timedelta(days=settings.incoming_days)),
    ):
        chain = Chain(objects, bus.signer, bus.trust)
        office = _office(settings, objects, http, web, bus)
        yield bus.serve(
            refusing(HANDLERS, Refusals(objects, chain)),
            checkup=NEEDS.checkup(settings),
            app=create_app(office, settings.cors_origins),
            guard=gate(office.apps),
            outsiders=signers(office.apps),
            runs=office.runs,
            limits=office.limits,
            incoming=office.incoming,
            originals=office.originals,
            names=office.names,
            papers=office.papers,
            custody=office.custody,
            leftovers=StoredLeftovers(objects, chain),
            spans=TelemetrySpans(),
            originals_kept=settings.limits.originals_kept,
            late_work=timedelta(minutes=settings.late_work_minutes),
            evidence_held=timedelta(hours=settings.evidence_hours),
            writer=RowWriter(settings.photos_min),
            on_end=on_end,
        )


def _office(
    settings: IngestSettings, objects: ObjectStore, http: httpx.AsyncClient, web: GuardedWeb, bus: Bus
) -> Office:
    tokens = Tokens(load_secret(settings.keys))
    return Office(
        desk=TracedDesk(bus),
        runs=PostgresRuns(bus.rows),
        originals=StoredOriginals(objects),
        incoming=StoredIncoming(objects),
        targets=StoredTargets(objects, tokens, settings.public_url),
        web=web,
        names=StoredNames(objects, bus.rows),
        papers=StoredPapers(objects),
        custody=UploadCustody(Chain(objects, bus.signer, bus.trust)),
        links=TokenLinks(objects, tokens, settings.public_url),
        archives=TokenArchives(objects, tokens),
        secrets=ReplicateSecrets(http),
        apps=AppsFile(settings.apps),
        clock=lambda: datetime.now(UTC),
        limits=settings.limits,
    )


def _provider(settings: IngestSettings) -> httpx.AsyncClient:
    """A client that takes the provider's token nowhere else: it follows no redirect."""
    return httpx.AsyncClient(
        base_url=settings.replicate_base_url,
        headers={"Authorization": f"Bearer {settings.replicate_api_token.get_secret_value()}"},
        timeout=10,
    )
