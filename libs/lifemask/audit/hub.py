"""Reads a model's repository on the hub: bytes, not what the hub says of them. Plain HTTP, no client library."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import httpx

from lifemask.audit.case import OnHub
from lifemask.audit.hubside import FOLDER
from lifemask.audit.problems import Unreachable

WEIGHTS: Final = "lora.safetensors"
CARD: Final = "README.md"
_OURS: Final = frozenset({WEIGHTS, CARD, ".gitattributes"})
_PATIENCE: Final = httpx.Timeout(60, connect=10)
_SMALL: Final = 4 << 20


@asynccontextmanager
async def open_hub(url: str, token: str) -> AsyncIterator["Hub"]:
    """The hub at `url`. The token goes to that host alone, never along a redirect to another."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_PATIENCE, follow_redirects=True) as http:
        yield Hub(http)


class Hub:
    """Repositories, as one account sees them."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def look(self, repo: str, commit: str | None) -> OnHub | None:
        """The repository, with the weights as they are in `commit`; None when there is none. Raises Unreachable."""
        info = await self._info(repo)
        if info is None:
            return None
        files = {str(each["rfilename"]): each for each in info.get("siblings") or ()}
        statements = sorted(name for name in files if name.startswith(FOLDER))
        weights, card = await asyncio.gather(
            self._digest(repo, commit or "main", WEIGHTS), self._digest(repo, "main", CARD)
        )
        signed = await asyncio.gather(*(self._file(repo, name) for name in statements))
        return OnHub(
            repo=repo,
            private=bool(info.get("private")),
            weights=weights,
            head_weights=(files.get(WEIGHTS, {}).get("lfs") or {}).get("sha256"),
            card=card,
            statements={name.removeprefix(FOLDER): data for name, data in zip(statements, signed, strict=True) if data},
            others=sorted(name for name in files if name not in _OURS and not name.startswith(FOLDER)),
        )

    async def repositories(self, namespace: str) -> list[str]:
        """The ids of all repositories of an account or organisation. Raises Unreachable."""
        found: list[str] = []
        path: str | None = f"/api/models?author={quote(namespace)}&limit=1000"
        while path:
            response = await self._asked(path)
            if response is None:
                break
            found += [str(each["id"]) for each in response.json()]
            following = response.links.get("next", {}).get("url")
            path = httpx.URL(following).raw_path.decode() if following else None  # never the token to another host
        return found

    async def _info(self, repo: str) -> dict[str, Any] | None:
        response = await self._asked(f"/api/models/{repo}", blobs="true")
        if response is None:
            return None
        found: dict[str, Any] = response.json()
        return found

    async def _asked(self, path: str, **query: str) -> httpx.Response | None:
        try:
            response = await self._http.get(path, params=query or None)
        except httpx.HTTPError as problem:
            raise Unreachable("the hub", type(problem).__name__) from None
        return None if _is_missing(response) else response

    async def _digest(self, repo: str, revision: str, path: str) -> str | None:
        digest = hashlib.sha256()
        try:
            async with self._http.stream("GET", f"/{repo}/resolve/{revision}/{path}") as response:
                if _is_missing(response):
                    return None
                async for chunk in response.aiter_raw(1 << 20):
                    digest.update(chunk)
        except httpx.HTTPError as problem:
            raise Unreachable("the hub", type(problem).__name__) from None
        return digest.hexdigest()

    async def _file(self, repo: str, path: str) -> bytes | None:
        """A small file, or as much of a larger one as tells that it is no statement."""
        data = bytearray()
        try:
            async with self._http.stream("GET", f"/{repo}/resolve/main/{path}") as response:
                if _is_missing(response):
                    return None
                async for chunk in response.aiter_bytes(64 << 10):
                    data += chunk
                    if len(data) > _SMALL:
                        break
        except httpx.HTTPError as problem:
            raise Unreachable("the hub", type(problem).__name__) from None
        return bytes(data[:_SMALL])


def _is_missing(response: httpx.Response) -> bool:
    """Raises Unreachable for an answer that says neither yes nor no. The hub answers 401 for what it does not show."""
    if response.is_success:
        return False
    if response.status_code == httpx.codes.NOT_FOUND:
        return True
    raise Unreachable("the hub", f"it answers {response.status_code}; check HF_TOKEN")
