"""Large files of the hub: the batch and verify calls on the hub, the bytes on the file server behind signed links."""

import hashlib
import hmac
import json
import re
import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lifemask.sandbox.hub_errors import HubError
from lifemask.sandbox.repos import Repo, Repos
from lifemask.sandbox.wire import Wire

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LFS_JSON = "application/vnd.git-lfs+json"


class LargeFiles:
    """`files` is the URL of the file server, `hub` that of the hub; links are signed with `secret`."""

    def __init__(self, *, repos: Repos, folder: Path, hub: str, files: str, secret: str, link_seconds: float) -> None:
        self._repos = repos
        self._folder = folder
        self._hub = hub
        self._files = files
        self._secret = secret.encode()
        self._link_seconds = link_seconds
        for torn in folder.glob("*.part"):
            torn.unlink()

    def routes(self, wire: Wire) -> list[Route]:
        """The file server's half."""
        return [
            wire.route("PUT", "/large/{sha256}", "lfs_put", self.put),
            wire.route("GET", "/large/{sha256}", "download", self.get, is_file=True),
        ]

    def batch(self, repo: Repo, body: bytes) -> Response:
        """Where to upload each object; nothing to do for one that this repository has."""
        objects = []
        for wanted in _parsed(body).get("objects", []):
            sha256, size = str(wanted.get("oid")), wanted.get("size")
            answer = {"oid": sha256, "size": size}
            if not _DIGEST.fullmatch(sha256) or not isinstance(size, int) or size < 0:
                objects.append(answer | {"error": {"code": 422, "message": "Invalid object"}})
            elif sha256 in repo.large:
                objects.append(answer)
            else:
                verify = f"{self._hub}/{repo.id}.git/info/lfs/objects/verify"
                upload = {"href": self.link("PUT", sha256, size=size), "header": {}}
                objects.append(answer | {"actions": {"upload": upload, "verify": {"href": verify, "header": {}}}})
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type=_LFS_JSON)

    def verify(self, repo: Repo, body: bytes) -> Response:
        wanted = _parsed(body)
        sha256, size = str(wanted.get("oid")), wanted.get("size")
        blob = self._repos.blob(sha256)
        if not _DIGEST.fullmatch(sha256) or not blob.is_file() or blob.stat().st_size != size:
            raise HubError(404, "", "The object was not uploaded, or not whole")
        self._repos.add_large(repo, sha256)
        return JSONResponse({}, media_type=_LFS_JSON)

    def link(self, method: str, sha256: str, *, size: int) -> str:
        """An expiring URL for one method on one object of one size."""
        expires = int(time.time() + self._link_seconds)
        query = {"size": size, "expires": expires, "signature": self._sign(method, sha256, str(size), str(expires))}
        return f"{self._files}/large/{sha256}?{urlencode(query)}"

    async def put(self, request: Request) -> Response:
        """Takes an object in; it exists only once it is whole and its digest is the promised one."""
        if refusal := self._refusal(request, "PUT"):
            return refusal
        sha256, size = request.path_params["sha256"], int(request.query_params["size"])
        fresh = self._folder / f"{secrets.token_hex(8)}.part"
        try:
            digest, received = await _receive(request, fresh, size)
            if (digest, received) != (sha256, size):
                return PlainTextResponse("The object's digest or size differs from what was announced", 400)
            fresh.replace(self._repos.blob(sha256))
        finally:
            fresh.unlink(missing_ok=True)
        return Response(headers={"etag": f'"{sha256}"'})

    async def get(self, request: Request) -> Response:
        if refusal := self._refusal(request, "GET"):
            return refusal
        sha256 = request.path_params["sha256"]
        path = self._repos.blob(sha256)
        if not path.is_file():
            return PlainTextResponse("Not found", 404)
        return FileResponse(path, media_type="application/octet-stream", headers={"etag": f'"{sha256}"'})

    def _refusal(self, request: Request, method: str) -> Response | None:
        query = request.query_params
        size, expires = query.get("size", ""), query.get("expires", "")
        expected = self._sign(method, request.path_params["sha256"], size, expires)
        if not hmac.compare_digest(expected, query.get("signature", "")):
            return PlainTextResponse("Signature does not match", 403)
        return PlainTextResponse("Request has expired", 403) if int(expires) < time.time() else None

    def _sign(self, *parts: str) -> str:
        return hmac.new(self._secret, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


async def _receive(request: Request, path: Path, limit: int) -> tuple[str, int]:
    """Digest and size of what came; stops writing after `limit` bytes."""
    digest, received = hashlib.sha256(), 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            received += len(chunk)
            if received <= limit:
                digest.update(chunk)
                file.write(chunk)
    return digest.hexdigest(), received


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise HubError(400, "", "The body is not JSON") from error
    if not isinstance(value, dict):
        raise HubError(400, "", "The body is not a JSON object")
    return value
