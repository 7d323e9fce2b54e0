"""Puts the sandbox together inside the running event loop."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from lifemask.sandbox import files, hub_errors, problems
from lifemask.sandbox.calls import Calls
from lifemask.sandbox.faults import Faults
from lifemask.sandbox.files import Outputs
from lifemask.sandbox.hub import Hub
from lifemask.sandbox.hub_access import HubAccess
from lifemask.sandbox.hub_content import HubContent
from lifemask.sandbox.ledger import Ledger
from lifemask.sandbox.lfs import LargeFiles
from lifemask.sandbox.listening import listen_all, serving
from lifemask.sandbox.mail import Mailbox, serve_mail
from lifemask.sandbox.models import Models
from lifemask.sandbox.rendering import Rendering
from lifemask.sandbox.replicate import Replicate
from lifemask.sandbox.repos import Repos
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.store import Store
from lifemask.sandbox.trainer import Trainer
from lifemask.sandbox.webhooks import Webhooks
from lifemask.sandbox.wire import Wire


@dataclass(frozen=True, slots=True)
class SandboxUrls:
    """Where everything is, without a slash at the end, and what opens it."""

    replicate: str
    hub: str
    files: str
    smtp: str
    ledger: str
    faults: str
    mails: str
    health: str
    replicate_token: str
    hub_token: str
    hub_user: str
    destination: str
    trainer: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@asynccontextmanager
async def running_sandbox(data: Path, **settings: Any) -> AsyncIterator[SandboxUrls]:
    """A sandbox in the current event loop, for tests; `settings` are fields of SandboxSettings."""
    async with open_sandbox(SandboxSettings(data=data, **settings)) as urls:
        yield urls


@asynccontextmanager
async def open_sandbox(settings: SandboxSettings) -> AsyncIterator[SandboxUrls]:
    """Serves until the context ends. Raises DataDirectoryTakenError, and OSError when a wanted port is taken."""
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Store(settings.data))
        sockets = stack.enter_context(listen_all(settings, store))
        urls = _urls(settings, {name: sock.getsockname()[1] for name, sock in sockets.items()})
        client = httpx.AsyncClient(timeout=settings.webhook_timeout_seconds, trust_env=False)
        parts = _Parts(settings, store, urls, await stack.enter_async_context(client))
        await stack.enter_async_context(serving(*((app, sockets[name]) for name, app in parts.apps().items())))
        mail_server = await serve_mail(parts.mailbox, sockets["smtp_port"], settings.max_mail_bytes)
        stack.push_async_callback(_close_mail, mail_server)
        parts.trainer.start()
        stack.push_async_callback(parts.trainer.stop)
        yield urls


class _Parts:
    """Everything that serves, made from settings and what is on disk."""

    def __init__(self, settings: SandboxSettings, store: Store, urls: SandboxUrls, client: httpx.AsyncClient) -> None:
        self.faults = Faults(store)
        self.calls = Calls(store)
        self.mailbox = Mailbox(store, self.faults, self.calls)
        self.repos = Repos(store)
        webhooks = Webhooks(store, self.faults, client)
        self.trainer = Trainer(store, settings, self.faults, webhooks)
        models = Models(store, self.trainer)
        owner, _, name = settings.destination.partition("/")
        if name and models.find(owner, name) is None:
            models.create(owner, name, "private", "gpu-h100", "Made by the sandbox at its start")
        secret = _link_secret(store)
        rendering = Rendering(urls.replicate, urls.files, settings.retention_seconds, secret, models)
        self.trainer.render = rendering.show
        self.replicate = Replicate(
            trainer=self.trainer, models=models, rendering=rendering, settings=settings, secret=webhooks.secret
        )
        self.outputs = Outputs(self.trainer, rendering, settings)
        self.large = LargeFiles(
            repos=self.repos,
            folder=store.folder("uploads"),
            hub=urls.hub,
            files=urls.files,
            secret=secret,
            link_seconds=settings.link_seconds,
        )
        access = HubAccess(self.repos, settings)
        self.hub = Hub(repos=self.repos, access=access, settings=settings, base=urls.hub)
        self.hub_content = HubContent(repos=self.repos, large=self.large, access=access, base=urls.hub)
        self.ledger = Ledger(
            trainer=self.trainer,
            models=models,
            repos=self.repos,
            mailbox=self.mailbox,
            faults=self.faults,
            calls=self.calls,
            store=store,
        )

    def apps(self) -> dict[str, Starlette]:
        """One application per listening port."""
        api = Wire(self.faults, self.calls, problems.refuse)
        hub = Wire(self.faults, self.calls, hub_errors.refuse)
        plain = Wire(self.faults, self.calls, files.refuse)
        return {
            "port": _app(self.replicate.routes(api) + self.ledger.routes(), problems.http_error),
            "hub_port": _app(self.hub.routes(hub) + self.hub_content.routes(hub), hub_errors.http_error),
            "files_port": _app(self.outputs.routes(plain) + self.large.routes(plain), problems.http_error),
        }


def _app(routes: list[Route], on_http_error: Any) -> Starlette:
    return Starlette(routes=routes, exception_handlers={HTTPException: on_http_error})


def _urls(settings: SandboxSettings, ports: dict[str, int]) -> SandboxUrls:
    api = f"http://{settings.api_host}:{ports['port']}"
    return SandboxUrls(
        replicate=api,
        hub=f"http://{settings.api_host}:{ports['hub_port']}",
        files=f"http://{settings.outer_host}:{ports['files_port']}",
        smtp=f"smtp://{settings.api_host}:{ports['smtp_port']}",
        ledger=f"{api}/ledger",
        faults=f"{api}/faults",
        mails=f"{api}/mails",
        health=f"{api}/healthz",
        replicate_token=settings.replicate_token,
        hub_token=settings.hub_token,
        hub_user=settings.hub_user,
        destination=settings.destination,
        trainer=settings.trainer,
    )


def _link_secret(store: Store) -> str:
    kept = store.load("links.json")
    if kept is None:
        kept = secrets.token_hex(32)
        store.save("links.json", kept)
    return str(kept)


async def _close_mail(server: asyncio.Server) -> None:
    server.close()
    with contextlib.suppress(TimeoutError):  # a client that stays connected does not keep us
        async with asyncio.timeout(1):
            await server.wait_closed()
