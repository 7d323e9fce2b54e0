"""How calls are answered, refused and dropped: the part of HTTP that every stand-in shares."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lifemask.sandbox.calls import Calls
from lifemask.sandbox.faults import Fault, Faults

HANG_UP = "lifemask.transport"
"""Key in the scope's extensions: the connection's transport, which no ASGI server hands out by itself."""

Endpoint = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[int, Fault], Response]


class HangUpProtocol(H11Protocol):
    """Lets an application close the connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[HANG_UP] = transport
            await app(scope, receive, send)

        self.app = with_transport


class Unanswered(Response):
    """Ends the call by closing the connection; nothing is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI shape
        await hang_up(scope, receive)


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Closes the connection and waits until the server knows, so that it does not answer in our place."""
    scope["extensions"][HANG_UP].close()
    while (await receive())["type"] != "http.disconnect":
        pass


class Half(Response):
    """Sends half of another response's body, then closes the connection."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = 0
        cut = False

        async def send_half(message: Message) -> None:
            nonlocal left, cut
            if message["type"] == "http.response.start":
                left = int(Headers(raw=message["headers"]).get("content-length", "0")) // 2
                await send(message)
            elif not cut:
                body = message.get("body", b"")[:left]
                left -= len(body)
                cut = left <= 0
                await send({"type": "http.response.body", "body": body, "more_body": True})

        await self._whole(scope, receive, send_half)
        await hang_up(scope, receive)


class Altered(Response):
    """Sends another response with the last byte of its body changed: same size, other digest."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held = b""

        async def send_altered(message: Message) -> None:
            nonlocal held
            if message["type"] != "http.response.body":
                await send(message)
                return
            body = held + message.get("body", b"")
            body, held = body[:-1], body[-1:]
            if not message.get("more_body", False):
                body += bytes(byte ^ 0xFF for byte in held)
            await send({**message, "body": body})

        await self._whole(scope, receive, send_altered)


@dataclass(frozen=True, slots=True)
class Wire:
    """Makes the routes of one stand-in: its calls obey the fault switches and are counted."""

    faults: Faults
    calls: Calls
    refuse: Refuse

    def route(self, method: str, path: str, name: str, endpoint: Endpoint, *, is_file: bool = False) -> Route:
        """A route for the operation `name`. The answer of an `is_file` route is cut in half when it is dropped."""

        async def call(request: Request) -> Response:
            taken = self.faults.take(name)
            if delay := taken.get("delay"):
                await asyncio.sleep(delay.seconds or 0)
            if "drop_before" in taken:
                await drain(request)
                self.calls.count(name, "dropped_before")
                return Unanswered()
            if answer := taken.get("answer"):
                await drain(request)
                self.calls.count(name, f"refused_{answer.status}")
                return self.refuse(answer.status, answer)
            request.state.faults = taken
            response = await endpoint(request)
            self.calls.count(name, "dropped_after" if "drop_after" in taken else f"answered_{response.status_code}")
            if "alter" in taken and is_file:
                response = Altered(response)
            if "drop_after" in taken:
                return Half(response) if is_file and response.status_code < 300 else Unanswered()
            return response

        return Route(path, call, methods=[method])


async def drain(request: Request) -> None:
    """Reads what the caller still sends: closing on unread bytes would reach it as a reset, not as a lost reply."""
    try:
        async for _ in request.stream():
            pass
    except ClientDisconnect:
        return


async def body_of(request: Request, limit: int) -> bytes:
    """The body, bounded. Raises HTTPException 413 above `limit` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"The body is larger than {limit} bytes")
    return bytes(body)


def bearer(request: Request) -> str:
    """The token of the Authorization header, "" without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in {"bearer", "token"} else ""
