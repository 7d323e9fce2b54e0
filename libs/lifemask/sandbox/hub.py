"""The Hugging Face Hub's HTTP API, as far as publishing models goes: the repositories."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lifemask.sandbox.card import read_card
from lifemask.sandbox.hub_access import HubAccess, answering, commit_of
from lifemask.sandbox.hub_errors import HubError, no_repo
from lifemask.sandbox.hub_views import commit_on_the_wire, model_on_the_wire
from lifemask.sandbox.repos import Commit, Repo, Repos
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.wire import Endpoint, Wire

_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_PAGE = 1000
_VISIBILITIES = ("public", "private", "protected")


class Hub:
    """The endpoints about repositories. `base` is the hub's own URL without a slash at the end."""

    def __init__(self, *, repos: Repos, access: HubAccess, settings: SandboxSettings, base: str) -> None:
        self._repos = repos
        self._access = access
        self._settings = settings
        self._base = base

    def routes(self, wire: Wire) -> list[Route]:
        model = "/api/models/{owner}/{name}"
        access = self._access
        table: list[tuple[str, str, str, Endpoint]] = [
            ("GET", "/api/whoami-v2", "whoami", access.owned(self.whoami)),
            ("POST", "/api/repos/create", "create_repo", access.owned(self.create_repo)),
            ("DELETE", "/api/repos/delete", "delete_repo", access.owned(self.delete_repo)),
            ("GET", "/api/models", "list_models", self.list_models),
            ("GET", model, "model_info", access.reading(self.model_info)),
            ("GET", model + "/revision/{revision}", "model_info", access.reading(self.model_info)),
            ("PUT", model + "/settings", "update_settings", access.writing(self.update_settings)),
            ("GET", model + "/commits/{revision}", "list_commits", access.reading(self.list_commits)),
        ]
        return [wire.route(method, path, name, answering(call)) for method, path, name, call in table]

    async def whoami(self, _: Request) -> Response:
        token = {"type": "access_token", "accessToken": {"displayName": "sandbox", "role": "write"}}
        return JSONResponse({"type": "user", "name": self._settings.hub_user, "orgs": [], "auth": token})

    async def create_repo(self, request: Request) -> Response:
        body = await self._access.json(request)
        repo_id = self._repo_id(body)
        url = f"{self._base}/{repo_id}"
        if self._repos.find(repo_id):
            return JSONResponse({"error": "You already created this model repo", "url": url}, 409)
        wanted = body.get("visibility") or ("private" if body.get("private") else "public")
        if wanted not in _VISIBILITIES:
            raise HubError(400, "", f"visibility must be one of {', '.join(_VISIBILITIES)}")
        self._repos.create(repo_id, wanted)
        return JSONResponse({"url": url, "name": repo_id, "id": repo_id})

    async def delete_repo(self, request: Request) -> Response:
        repo = self._repos.find(self._repo_id(await self._access.json(request)))
        if repo is None:
            raise no_repo(known_caller=True)
        self._repos.delete(repo)
        return JSONResponse({})

    async def update_settings(self, request: Request, repo: Repo) -> Response:
        body = await self._access.json(request)
        wanted = body.get("visibility", repo.visibility)
        if "private" in body:
            wanted = "private" if body["private"] else "public"
        if wanted not in _VISIBILITIES:
            raise HubError(400, "", f"visibility must be one of {', '.join(_VISIBILITIES)}")
        self._repos.change(repo, wanted)
        return JSONResponse({"visibility": wanted, "private": repo.is_private})

    async def list_models(self, request: Request) -> Response:
        query, owner = request.query_params, self._access.is_owner(request)
        author, search = query.get("author"), query.get("search", "").lower()
        found = [
            repo
            for repo in reversed(self._repos.all())
            if repo.deleted_at is None
            and (owner or not repo.is_private)
            and (author is None or repo.id.partition("/")[0].lower() == author.lower())
            and search in repo.id.lower()
        ]
        start, limit = _number(query.get("cursor"), 0), min(_number(query.get("limit"), _PAGE), _PAGE)
        headers = {}
        if start + limit < len(found):
            after = request.url.include_query_params(cursor=start + limit)
            headers["link"] = f'<{self._base}{after.path}?{after.query}>; rel="next"'
        page = [model_on_the_wire(repo, repo.head, self._card(repo.head)) for repo in found[start : start + limit]]
        return JSONResponse(page, headers=headers)

    async def model_info(self, request: Request, repo: Repo) -> Response:
        commit = commit_of(request, repo)
        blobs = request.query_params.get("blobs", "").lower() in {"true", "1"}
        return JSONResponse(model_on_the_wire(repo, commit, self._card(commit), blobs=blobs))

    async def list_commits(self, request: Request, repo: Repo) -> Response:
        until = repo.commits.index(commit_of(request, repo))
        return JSONResponse([commit_on_the_wire(commit) for commit in reversed(repo.commits[: until + 1])])

    def _card(self, commit: Commit) -> dict[str, Any]:
        readme = commit.tree.get("README.md")
        if readme is None:
            return {}
        return read_card(self._repos.blob(readme.sha256).read_text("utf-8"))

    def _repo_id(self, body: dict[str, Any]) -> str:
        if body.get("type") not in {None, "model"}:
            raise HubError(400, "", "The sandbox keeps models only")
        owner, name = str(body.get("organization") or self._settings.hub_user), str(body.get("name", ""))
        if not _NAME.fullmatch(name) or name.endswith((".git", ".ipynb", "-", ".")):
            raise HubError(400, "", "Invalid repository name")
        if owner != self._settings.hub_user:
            raise HubError(403, "", f"You don't have the rights to create a model under the namespace {owner[:96]!r}")
        return f"{owner}/{name}"


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
