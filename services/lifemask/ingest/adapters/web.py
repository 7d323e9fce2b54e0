"""Photos from other people's web servers, and from nobody of ours.

The host is resolved here and once: the address that was checked is the one that is connected to, with the host's own
name in TLS and in the request. Redirects are followed by hand and checked like the first address. Nothing of a request
tells who we are, and what a refused address would have answered is never asked.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Collection
from typing import Final

import httpx

from lifemask.ingest.domain.addresses import is_public
from lifemask.ingest.ports import AddressRefused, FetchFailed

_REDIRECTS: Final = 3
_LONGEST: Final = 2048


class GuardedWeb:
    """The port `Web`. `allowed` are hosts (`name:port`) that may be anywhere and speak http: for tests alone.

    `seconds` is the longest time for one file, give or take one silence of at most 10 s.
    """

    def __init__(self, allowed: Collection[str] = (), seconds: float = 60) -> None:
        self._allowed = frozenset(allowed)
        self._seconds = seconds
        self._http = httpx.AsyncClient(
            trust_env=False,
            timeout=httpx.Timeout(10, connect=5),
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=0),  # a connection is one host's
            headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "lifemask"},
        )

    async def aclose(self) -> None:
        """Ends all connections."""
        await self._http.aclose()

    async def read(self, url: str) -> AsyncGenerator[bytes, None]:
        until = time.monotonic() + self._seconds
        try:
            at = httpx.URL(url)
            for _ in range(_REDIRECTS + 1):
                request = await self._pinned(at)
                answer = await self._http.send(request, stream=True)
                try:
                    if not answer.has_redirect_location:
                        _check(answer)
                        async for chunk in answer.aiter_raw():
                            if time.monotonic() > until:
                                raise FetchFailed(passing=False)
                            yield chunk
                        return
                    at = at.join(answer.headers["location"])
                finally:
                    await answer.aclose()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError):
            raise AddressRefused from None
        except (httpx.HTTPError, OSError):
            raise FetchFailed(passing=True) from None
        raise FetchFailed(passing=False)

    async def _pinned(self, url: httpx.URL) -> httpx.Request:
        host = url.raw_host.decode()
        port = url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
        free = f"{host}:{port}" in self._allowed
        if not free and (url.scheme != "https" or port != 443):
            raise AddressRefused
        if not host or url.userinfo or len(str(url)) > _LONGEST:
            raise AddressRefused
        found = await _resolved(host, port)
        if not free and not all(is_public(address) for address in found):
            raise AddressRefused
        return self._http.build_request(
            "GET",
            url.copy_with(host=found[0], fragment=None),
            headers={"Host": url.netloc.decode()},
            extensions={"sni_hostname": host},
        )


async def _resolved(host: str, port: int) -> list[str]:
    """All addresses of a host: one that is ours among them is reason enough to refuse."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise FetchFailed(passing=True) from None
    return [str(place[4][0]) for place in found]


def _check(answer: httpx.Response) -> None:
    if answer.status_code == httpx.codes.OK and answer.headers.get("content-encoding", "identity") == "identity":
        return
    raise FetchFailed(passing=answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS)
