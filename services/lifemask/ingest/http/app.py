"""The API as one ASGI app. Without an office it can only describe itself."""

import asyncio
import functools
import json
import time
from typing import Any, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from lifemask.ingest.acts.callbacks import Recent
from lifemask.ingest.acts.office import Limits, Office
from lifemask.ingest.http import callbacks, events, guidance, handling, objects, photos, runs, uploads, users
from lifemask.ingest.http.delay import Delay
from lifemask.ingest.http.guard import CallersTrace, SecurityHeaders, TimeLimit
from lifemask.ingest.http.paces import Paces
from lifemask.ingest.http.places import Places
from lifemask.ingest.http.rates import Rates

VERSION: Final = "1.0.0"
_OF_TARGETS: Final = ("If-None-Match", "x-amz-checksum-sha256")
_SCHEMES: Final = {"app": {"type": "http", "scheme": "bearer", "description": "The key of an app."}}

_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""The framework's own spans would carry the paths of requests, and with them user ids and the tokens of links."""


def create_app(office: Office | None = None, cors_origins: tuple[str, ...] = ()) -> FastAPI:
    """The API behind `office`. Browsers of other origins are let in only when `cors_origins` names them."""
    limits = office.limits if office else Limits()
    app = FastAPI(
        title="Lifemask",
        version=VERSION,
        description="One person's photos become that person's own model. All answers are JSON; every error is a "
        "problem document (RFC 9457) with a code and the next step.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=_NO_TELEMETRY,
    )
    app.state.office = office
    app.state.app_rates = Rates(limits.app_rate, time.monotonic)
    app.state.user_rates = Rates(limits.user_rate, time.monotonic)
    hold = limits.refusal_hold.total_seconds()
    app.state.delay_of_known, app.state.delay_of_unknown = Delay(hold), Delay(hold)
    app.state.paces = Paces(limits.user_upload_rate, time.monotonic)
    app.state.uploads = Places(limits.uploads_max, limits.user_uploads)
    app.state.streams = Places(limits.streams_max, limits.user_streams)
    app.state.callbacks = asyncio.Semaphore(limits.callbacks_max)
    app.state.recent_hints = Recent()
    app.state.archives = asyncio.Semaphore(limits.archives_max)
    for module in (runs, photos, uploads, events, users, objects, callbacks, guidance):
        app.router.routes += module.router.routes  # as they are: `include_router` works each out anew, for each app
    app.add_route("/v1/openapi.json", _document)
    handling.install(app)
    app.add_middleware(TimeLimit, seconds=limits.request_timeout.total_seconds())
    app.add_middleware(CallersTrace)
    app.add_middleware(SecurityHeaders)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", *_OF_TARGETS],
        )
    return app


async def _document(request: Request) -> Response:
    """The OpenAPI document, for anybody; nobody needs it at once."""
    await request.app.state.delay_of_unknown.wait()
    return Response(await asyncio.to_thread(_described), media_type="application/json")


@functools.cache
def _described() -> bytes:
    return json.dumps(describe()).encode()


def describe() -> dict[str, Any]:
    """The OpenAPI document."""
    document = create_app().openapi()
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    return document
