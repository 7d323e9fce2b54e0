"""Lists what the provider holds for our account: trainings, and versions of our destination. Plain HTTP, paged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from lifemask.audit.problems import Unreachable

_PATIENCE: Final = httpx.Timeout(60, connect=10)
_PAGES: Final = 100_000
"""Most pages of one listing; a provider whose pages lead in a circle must not hold the sweep for ever."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training at the provider. `seconds` is the billed time, as far as it is known; `path` that of the archive's URL
    while the provider shows it.
    """

    id: str
    status: str
    path: str | None
    seconds: Decimal


@asynccontextmanager
async def open_provider(url: str, token: str) -> AsyncIterator["Provider"]:
    """The provider's API at `url`, without `/v1`."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_PATIENCE) as http:
        yield Provider(http)


class Provider:
    """The account's trainings and versions."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def trainings(self) -> list[Training]:
        """All of them, newest first. Raises Unreachable."""
        return [_training(raw) async for raw in self._rows("/v1/trainings")]

    async def versions(self, model: str) -> list[str]:
        """The ids of the versions of `owner/name`; none when there is no such model."""
        return [str(raw.get("id")) async for raw in self._rows(f"/v1/models/{model}/versions")]

    async def _rows(self, path: str) -> AsyncIterator[dict[str, Any]]:
        for _ in range(_PAGES):
            page = await self._page(path)
            if page is None:
                return
            for raw in page.get("results") or ():
                if isinstance(raw, dict):
                    yield raw
            if not page.get("next"):
                return
            path = httpx.URL(str(page["next"])).raw_path.decode()  # never the token to another host
        raise Unreachable("the provider", "its listing does not end")

    async def _page(self, path: str) -> dict[str, Any] | None:
        try:
            response = await self._http.get(path)
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            found = response.raise_for_status().json()
        except httpx.HTTPStatusError as problem:
            status = problem.response.status_code
            raise Unreachable("the provider", f"it answers {status}; check REPLICATE_API_TOKEN") from None
        except (httpx.HTTPError, ValueError) as problem:
            raise Unreachable("the provider", type(problem).__name__) from None
        if not isinstance(found, dict):
            raise Unreachable("the provider", "its listing cannot be read")
        return found


def _training(raw: dict[str, Any]) -> Training:
    archive = (raw.get("input") or {}).get("input_images")
    try:
        seconds = Decimal(str((raw.get("metrics") or {}).get("predict_time") or 0))
    except InvalidOperation:
        seconds = Decimal(0)
    path = urlsplit(archive).path if isinstance(archive, str) else None
    return Training(str(raw.get("id")), str(raw.get("status")), path, seconds)
