"""The Hugging Face Hub's HTTP API, as far as publishing models goes."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from lifemask.sandbox.card import EMPTY, CardError, read_card
from lifemask.sandbox.commits import CommitRequest, upload_mode
from lifemask.sandbox.hub_errors import HubError, hub_error, no_entry, no_repo, no_revision, wrong_token
from lifemask.sandbox.hub_views import commit_on_the_wire, file_on_the_wire, folders_of, model_on_the_wire
from lifemask.sandbox.lfs import LargeFiles
from lifemask.sandbox.repos import Commit, Repo, Repos, StaleParentError
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.wire import Endpoint, Wire, bearer, body_of

_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_PAGE = 1000
_VISIBILITIES = ("public", "private", "protected")

RepoCall = Callable[[Request, Repo], Awaitable[Response]]


class Hub:
    """The endpoints. `base` is the hub's own URL without a slash at the end."""

    def __init__(self, *, repos: Repos, large: LargeFiles, settings: SandboxSettings, base: str) -> None:
        self._repos = repos
        self._large = large
        self._settings = settings
        self._base = base

    def routes(self, wire: Wire) -> list[Route]:
        model = "/api/models/{owner}/{name}"
        lfs = "/{owner}/{name}/info/lfs/objects"
        table: list[tuple[str, str, str, Endpoint]] = [
            ("GET", "/api/whoami-v2", "whoami", self._owned(self.whoami)),
            ("POST", "/api/repos/create", "create_repo", self._owned(self.create_repo)),
            ("DELETE", "/api/repos/delete", "delete_repo", self._owned(self.delete_repo)),
            ("POST", "/api/validate-yaml", "validate_yaml", self.validate_yaml),
            ("GET", "/api/models", "list_models", self.list_models),
            ("GET", model, "model_info", self._reading(self.model_info)),
            ("GET", model + "/revision/{revision}", "model_info", self._reading(self.model_info)),
            ("PUT", model + "/settings", "update_settings", self._writing(self.update_settings)),
            ("GET", model + "/commits/{revision}", "list_commits", self._reading(self.list_commits)),
            ("GET", model + "/tree/{revision}", "tree", self._reading(self.tree)),
            ("GET", model + "/tree/{revision}/{path:path}", "tree", self._reading(self.tree)),
            ("POST", model + "/paths-info/{revision}", "paths_info", self._reading(self.paths_info)),
            ("POST", model + "/preupload/{revision}", "preupload", self._writing(self.preupload)),
            ("POST", model + "/commit/{revision}", "commit", self._writing(self.commit)),
            ("POST", lfs + "/batch", "lfs_batch", self._writing(self.lfs_batch)),
            ("POST", lfs + "/verify", "lfs_verify", self._writing(self.lfs_verify)),
            ("GET", "/{owner}/{name}/resolve/{revision}/{path:path}", "resolve", self._reading(self.resolve)),
        ]
        return [wire.route(method, path, name, _answering(call)) for method, path, name, call in table]

    # -- who may do what

    def _is_owner(self, request: Request) -> bool:
        token = bearer(request)
        if token and token != self._settings.hub_token:
            raise wrong_token()
        return bool(token)

    def _owned(self, endpoint: Endpoint) -> Endpoint:
        async def call(request: Request) -> Response:
            if not self._is_owner(request):
                raise HubError(401, "", "Invalid username or password.")
            return await endpoint(request)

        return call

    def _reading(self, endpoint: RepoCall) -> Endpoint:
        async def call(request: Request) -> Response:
            owner = self._is_owner(request)
            name = request.path_params["name"].removesuffix(".git")
            repo = self._repos.find(f"{request.path_params['owner']}/{name}")
            if repo is None or (repo.is_private and not owner):
                raise no_repo(known_caller=owner)
            return await endpoint(request, repo)

        return call

    def _writing(self, endpoint: RepoCall) -> Endpoint:
        return self._owned(self._reading(endpoint))

    # -- repositories

    async def whoami(self, _: Request) -> Response:
        token = {"type": "access_token", "accessToken": {"displayName": "sandbox", "role": "write"}}
        return JSONResponse({"type": "user", "name": self._settings.hub_user, "orgs": [], "auth": token})

    async def create_repo(self, request: Request) -> Response:
        body = await self._json(request)
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
        repo = self._repos.find(self._repo_id(await self._json(request)))
        if repo is None:
            raise no_repo(known_caller=True)
        self._repos.delete(repo)
        return JSONResponse({})

    async def update_settings(self, request: Request, repo: Repo) -> Response:
        body = await self._json(request)
        wanted = body.get("visibility", repo.visibility)
        if "private" in body:
            wanted = "private" if body["private"] else "public"
        if wanted not in _VISIBILITIES:
            raise HubError(400, "", f"visibility must be one of {', '.join(_VISIBILITIES)}")
        self._repos.change(repo, wanted)
        return JSONResponse({"visibility": wanted, "private": repo.is_private})

    async def list_models(self, request: Request) -> Response:
        query, owner = request.query_params, self._is_owner(request)
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
        commit = _commit(request, repo)
        blobs = request.query_params.get("blobs", "").lower() in {"true", "1"}
        return JSONResponse(model_on_the_wire(repo, commit, self._card(commit), blobs=blobs))

    async def list_commits(self, request: Request, repo: Repo) -> Response:
        until = repo.commits.index(_commit(request, repo))
        return JSONResponse([commit_on_the_wire(commit) for commit in reversed(repo.commits[: until + 1])])

    # -- files

    async def tree(self, request: Request, repo: Repo) -> Response:
        entries = _commit(request, repo).tree
        folder = request.path_params.get("path", "").strip("/")
        prefix = f"{folder}/" if folder else ""
        deep = request.query_params.get("recursive", "").lower() in {"true", "1"}
        inside = {path: entry for path, entry in entries.items() if path.startswith(prefix)}
        if not inside and folder:
            raise no_entry()
        shown = [
            file_on_the_wire(path, entry) for path, entry in inside.items() if deep or "/" not in path[len(prefix) :]
        ]
        shown += [each for each in folders_of(inside, prefix) if deep or "/" not in each["path"][len(prefix) :]]
        return JSONResponse(sorted(shown, key=lambda each: str(each["path"])))

    async def paths_info(self, request: Request, repo: Repo) -> Response:
        entries = _commit(request, repo).tree
        form = parse_qs((await body_of(request, self._settings.max_body_bytes)).decode("utf-8", "replace"))
        asked = [path.strip("/") for path in form.get("paths", [])]
        altered = "alter" in request.state.faults
        shown = [file_on_the_wire(path, entries[path], altered=altered) for path in asked if path in entries]
        shown += [each for each in folders_of(entries, "") if each["path"] in asked]
        return JSONResponse(shown)

    async def validate_yaml(self, request: Request) -> Response:
        try:
            card = read_card(str((await self._json(request)).get("content", "")))
        except CardError as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return JSONResponse({"errors": [], "warnings": [] if card else [{"message": EMPTY}]})

    async def preupload(self, request: Request, repo: Repo) -> Response:
        entries = _commit(request, repo).tree
        answer = []
        for file in (await self._json(request)).get("files", []):
            path, known = file["path"], entries.get(file["path"])
            mode = upload_mode(path, file["size"])
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known and known.etag})
        return JSONResponse({"files": answer})

    async def commit(self, request: Request, repo: Repo) -> Response:
        body = await body_of(request, self._settings.max_body_bytes)
        if request.path_params["revision"] != "main":
            raise no_revision()
        wanted = CommitRequest(body, repo, self._repos)
        try:
            made = self._repos.commit(repo, wanted.title, wanted.message, wanted.tree, wanted.parent)
        except StaleParentError:
            return hub_error(412, "", "A commit has happened since. Please refresh and try again.")
        url = f"{self._base}/{repo.id}/commit/{made.oid}"
        return JSONResponse({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})

    async def lfs_batch(self, request: Request, repo: Repo) -> Response:
        return self._large.batch(repo, await body_of(request, self._settings.max_body_bytes))

    async def lfs_verify(self, request: Request, repo: Repo) -> Response:
        return self._large.verify(repo, await body_of(request, self._settings.max_body_bytes))

    async def resolve(self, request: Request, repo: Repo) -> Response:
        commit = _commit(request, repo)
        headers = {"x-repo-commit": commit.oid}
        entry = commit.tree.get(request.path_params["path"])
        if entry is None:
            missing = hub_error(404, "EntryNotFound", "Entry not found")
            missing.headers.update(headers)
            return missing
        headers["etag"] = f'"{entry.etag}"'
        if not entry.is_large:
            return FileResponse(self._repos.blob(entry.sha256), headers=headers, media_type="text/plain")
        headers |= {"x-linked-etag": f'"{entry.etag}"', "x-linked-size": str(entry.size)}
        headers["location"] = self._large.link("GET", entry.sha256, size=entry.size)
        return Response(status_code=302, headers=headers)

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

    async def _json(self, request: Request) -> dict[str, Any]:
        try:
            body = json.loads(await body_of(request, self._settings.max_body_bytes))
        except ValueError as error:
            raise HubError(400, "", "The body is not JSON") from error
        return body if isinstance(body, dict) else {}


def _answering(endpoint: Endpoint) -> Endpoint:
    """Turns a HubError into its answer."""

    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HubError as error:
            return hub_error(error.status, error.code, error.text)

    return call


def _commit(request: Request, repo: Repo) -> Commit:
    commit = repo.at(request.path_params.get("revision", "main"))
    if commit is None:
        raise no_revision()
    return commit


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
