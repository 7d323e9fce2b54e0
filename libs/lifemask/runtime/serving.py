"""The HTTP server's bounds: how many connections, and how long one may take to say what it wants.

uvicorn bounds neither by itself: a connection that sends half a request's head would stay for ever.
"""

import asyncio
import json
from typing import ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_BODY: Final = json.dumps(
    {
        "type": "https://lifemask.dev/problems/too_many_connections",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "More connections are open than we serve at once.",
        "code": "too_many_connections",
        "next_step": "Send the request again in a few seconds.",
    }
).encode()
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 2\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class Bounded(H11Protocol):
    """One connection. `most` connections at once, each with `head_seconds` for the head of a request."""

    most: ClassVar[int]
    head_seconds: ClassVar[float]
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_FULL)
            transport.close()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """A head that is waited for has its time from the connection's start, or from its first byte on."""
        if self._is_at_work():
            self._stop()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.head_seconds, self._give_up)

    def _is_at_work(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self._is_at_work():
            self.transport.close()


def bounded(connections: int, head_seconds: float) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=…)` with these bounds."""
    return type("Bounded", (Bounded,), {"most": connections, "head_seconds": head_seconds})
