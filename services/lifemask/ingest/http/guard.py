"""Around every request: security headers, the caller's trace, a bound on the time of those that are no streams."""

import asyncio
from http import HTTPStatus
from typing import Final

from opentelemetry import context, propagate
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lifemask.ingest.http.problems import Problem

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Set on every answer that does not say otherwise itself; answers are one person's data."""
_STREAMS: Final = ("/photos", "/events")
_OBJECTS: Final = "/v1/objects/"


class SecurityHeaders:
    """Adds the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        return await self._app(scope, receive, with_headers)


class CallersTrace:
    """Makes the trace that the caller is in known to what happens inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        carried = Headers(scope=scope).get("traceparent") if scope["type"] == "http" else None
        if carried is None:
            return await self._app(scope, receive, send)
        token = context.attach(propagate.extract({"traceparent": carried}, context=context.Context()))
        try:
            return await self._app(scope, receive, send)
        finally:
            context.detach(token)


class TimeLimit:
    """Answers 503 when a request that is no stream takes longer than `seconds` to begin its answer."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_stream(scope["path"]):
            return await self._app(scope, receive, send)
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self._seconds):
                await self._app(scope, receive, watched)
        except TimeoutError:
            if begun:
                raise
            await _too_long().answer()(scope, receive, send)


def _is_stream(path: str) -> bool:
    return path.startswith(_OBJECTS) or path.endswith(_STREAMS)


def _too_long() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "request_timeout",
        "The request took too long on our side.",
        "Send the same request again in a few seconds.",
        headers={"Retry-After": "5"},
    )
