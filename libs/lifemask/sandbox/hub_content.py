"""The Hugging Face Hub's HTTP API, as far as publishing models goes: the files in the repositories."""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from lifemask.sandbox.card import EMPTY, CardError, read_card
from lifemask.sandbox.commits import CommitRequest, upload_mode
from lifemask.sandbox.hub_access import HubAccess, answering, commit_of
from lifemask.sandbox.hub_errors import hub_error, no_entry, no_revision
from lifemask.sandbox.hub_views import file_on_the_wire, folders_of
from lifemask.sandbox.lfs import LargeFiles
from lifemask.sandbox.repos import Repo, Repos, StaleParentError
from lifemask.sandbox.wire import Endpoint, Wire


class HubContent:
    """The endpoints about files and commits. `base` is the hub's own URL without a slash at the end."""

    def __init__(self, *, repos: Repos, large: LargeFiles, access: HubAccess, base: str) -> None:
        self._repos = repos
        self._large = large
        self._access = access
        self._base = base

    def routes(self, wire: Wire) -> list[Route]:
        model = "/api/models/{owner}/{name}"
        lfs = "/{owner}/{name}/info/lfs/objects"
        access = self._access
        table: list[tuple[str, str, str, Endpoint]] = [
            ("POST", "/api/validate-yaml", "validate_yaml", self.validate_yaml),
            ("GET", model + "/tree/{revision}", "tree", access.reading(self.tree)),
            ("GET", model + "/tree/{revision}/{path:path}", "tree", access.reading(self.tree)),
            ("POST", model + "/paths-info/{revision}", "paths_info", access.reading(self.paths_info)),
            ("POST", model + "/preupload/{revision}", "preupload", access.writing(self.preupload)),
            ("POST", model + "/commit/{revision}", "commit", access.writing(self.commit)),
            ("POST", lfs + "/batch", "lfs_batch", access.writing(self.lfs_batch)),
            ("POST", lfs + "/verify", "lfs_verify", access.writing(self.lfs_verify)),
            ("GET", "/{owner}/{name}/resolve/{revision}/{path:path}", "resolve", access.reading(self.resolve)),
        ]
        return [wire.route(method, path, name, answering(call)) for method, path, name, call in table]

    async def tree(self, request: Request, repo: Repo) -> Response:
        entries = commit_of(request, repo).tree
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
        entries = commit_of(request, repo).tree
        form = parse_qs((await self._access.body(request)).decode("utf-8", "replace"))
        asked = [path.strip("/") for path in form.get("paths", [])]
        altered = "alter" in request.state.faults
        shown = [file_on_the_wire(path, entries[path], altered=altered) for path in asked if path in entries]
        shown += [each for each in folders_of(entries, "") if each["path"] in asked]
        return JSONResponse(shown)

    async def validate_yaml(self, request: Request) -> Response:
        try:
            card = read_card(str((await self._access.json(request)).get("content", "")))
        except CardError as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return JSONResponse({"errors": [], "warnings": [] if card else [{"message": EMPTY}]})

    async def preupload(self, request: Request, repo: Repo) -> Response:
        entries = commit_of(request, repo).tree
        answer = []
        for file in (await self._access.json(request)).get("files", []):
            path, known = file["path"], entries.get(file["path"])
            mode = upload_mode(path, file["size"])
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known and known.etag})
        return JSONResponse({"files": answer})

    async def commit(self, request: Request, repo: Repo) -> Response:
        body = await self._access.body(request)
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
        return self._large.batch(repo, await self._access.body(request))

    async def lfs_verify(self, request: Request, repo: Repo) -> Response:
        return self._large.verify(repo, await self._access.body(request))

    async def resolve(self, request: Request, repo: Repo) -> Response:
        commit = commit_of(request, repo)
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
