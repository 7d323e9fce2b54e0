"""Who may do what on the hub, and how its calls are read."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lifemask.sandbox.hub_errors import HubError, hub_error, no_repo, no_revision, wrong_token
from lifemask.sandbox.repos import Commit, Repo, Repos
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.wire import Endpoint, bearer, body_of

RepoCall = Callable[[Request, Repo], Awaitable[Response]]


class HubAccess:
    """One token owns everything; without a token only what is public is there."""

    def __init__(self, repos: Repos, settings: SandboxSettings) -> None:
        self._repos = repos
        self._settings = settings

    def is_owner(self, request: Request) -> bool:
        """False without a token. Raises HubError for a wrong one."""
        token = bearer(request)
        if token and token != self._settings.hub_token:
            raise wrong_token()
        return bool(token)

    def owned(self, endpoint: Endpoint) -> Endpoint:
        """A call that needs the token."""

        async def call(request: Request) -> Response:
            if not self.is_owner(request):
                raise HubError(401, "", "Invalid username or password.")
            return await endpoint(request)

        return call

    def reading(self, endpoint: RepoCall) -> Endpoint:
        """A call about a repository that the caller may see."""

        async def call(request: Request) -> Response:
            owner = self.is_owner(request)
            name = request.path_params["name"].removesuffix(".git")
            repo = self._repos.find(f"{request.path_params['owner']}/{name}")
            if repo is None or (repo.is_private and not owner):
                raise no_repo(known_caller=owner)
            return await endpoint(request, repo)

        return call

    def writing(self, endpoint: RepoCall) -> Endpoint:
        """A call about a repository that needs the token."""
        return self.owned(self.reading(endpoint))

    async def body(self, request: Request) -> bytes:
        return await body_of(request, self._settings.max_body_bytes)

    async def json(self, request: Request) -> dict[str, Any]:
        try:
            body = json.loads(await self.body(request))
        except ValueError as error:
            raise HubError(400, "", "The body is not JSON") from error
        return body if isinstance(body, dict) else {}


def answering(endpoint: Endpoint) -> Endpoint:
    """Turns a HubError into its answer."""

    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HubError as error:
            return hub_error(error.status, error.code, error.text)

    return call


def commit_of(request: Request, repo: Repo) -> Commit:
    """The commit that the call's revision names. Raises HubError."""
    commit = repo.at(request.path_params.get("revision", "main"))
    if commit is None:
        raise no_revision()
    return commit
