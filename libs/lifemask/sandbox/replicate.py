"""Replicate's HTTP API, as far as training goes: models, versions, trainings, the webhook secret."""

import json
import re
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lifemask.sandbox.inputs import find_problems
from lifemask.sandbox.models import MOST_MODELS, Models, model_on_the_wire, version_on_the_wire
from lifemask.sandbox.problems import invalid_input, not_found, problem
from lifemask.sandbox.rendering import Rendering
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.trainer import Trainer
from lifemask.sandbox.training import Training, timestamp
from lifemask.sandbox.wire import Endpoint, Wire, bearer, body_of

_SOME_TRAINER_VERSION = "e440909d3512c31646ee2e0c7d6f6f4923224863a6a10c494606e79fb5844497"
_EVENTS = frozenset({"start", "output", "logs", "completed"})
_VERSION = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,96}")


class Replicate:
    """The endpoints. `secret` is the account's webhook signing secret."""

    def __init__(
        self, *, trainer: Trainer, models: Models, rendering: Rendering, settings: SandboxSettings, secret: str
    ) -> None:
        self._trainer = trainer
        self._models = models
        self._rendering = rendering
        self._settings = settings
        self._secret = secret

    def routes(self, wire: Wire) -> list[Route]:
        model = "/v1/models/{owner}/{name}"
        version = model + "/versions/{version}"
        table: list[tuple[str, str, str, Endpoint]] = [
            ("GET", "/v1/account", "account", self.account),
            ("POST", "/v1/models", "create_model", self.create_model),
            ("GET", model, "get_model", self.get_model),
            ("GET", model + "/versions", "list_versions", self.list_versions),
            ("GET", version, "get_version", self.get_version),
            ("DELETE", version, "delete_version", self.delete_version),
            ("POST", version + "/trainings", "create_training", self.create_training),
            ("GET", "/v1/trainings", "list_trainings", self.list_trainings),
            ("GET", "/v1/trainings/{id}", "get_training", self.get_training),
            ("POST", "/v1/trainings/{id}/cancel", "cancel_training", self.cancel_training),
            ("GET", "/v1/webhooks/default/secret", "webhook_secret", self.webhook_secret),
        ]
        return [wire.route(method, path, name, self._guarded(call)) for method, path, name, call in table]

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def call(request: Request) -> Response:
            if bearer(request) != self._settings.replicate_token:
                return problem(401, "You did not pass a valid authentication token")
            return await endpoint(request)

        return call

    async def account(self, _: Request) -> Response:
        return JSONResponse({"type": "user", "username": "lifemask", "name": "Sandbox", "github_url": None})

    async def webhook_secret(self, _: Request) -> Response:
        return JSONResponse({"key": self._secret})

    async def create_model(self, request: Request) -> Response:
        body = await self._json(request)
        owner, name = str(body.get("owner", "")), str(body.get("name", ""))
        missing = [field for field in ("owner", "name", "visibility", "hardware") if not body.get(field)]
        if missing:
            return problem(422, "".join(f"- {field} is required\n" for field in missing))
        if not _NAME.fullmatch(owner) or not _NAME.fullmatch(name) or body["visibility"] not in {"public", "private"}:
            return problem(422, "- owner, name or visibility has an invalid value\n")
        if self._models.find(owner, name):
            return problem(409, "A model with that name and owner already exists")
        if len(self._models) >= MOST_MODELS:
            return problem(403, f"This account has reached its limit of {MOST_MODELS} models")
        made = self._models.create(owner, name, body["visibility"], str(body["hardware"]), body.get("description"))
        return JSONResponse(model_on_the_wire(made, None), 201)

    async def get_model(self, request: Request) -> Response:
        owner, name = request.path_params["owner"], request.path_params["name"]
        if f"{owner}/{name}" == self._settings.trainer:
            shown = {"owner": owner, "name": name, "visibility": "public", "description": "Trains a FLUX.1 LoRA"}
            version = self._settings.trainer_version or _SOME_TRAINER_VERSION
            latest: dict[str, Any] = {
                "id": version,
                "created_at": timestamp(0.0),
                "cog_version": "0.9.0",
                "openapi_schema": {},
            }
            return JSONResponse(model_on_the_wire(shown, latest))
        model = self._models.find(owner, name)
        if model is None:
            return not_found()
        versions = self._models.versions(owner, name)
        return JSONResponse(model_on_the_wire(model, version_on_the_wire(versions[0]) if versions else None))

    async def list_versions(self, request: Request) -> Response:
        """All of them in one page: those of one destination, newest first."""
        owner, name = request.path_params["owner"], request.path_params["name"]
        if self._models.find(owner, name) is None:
            return not_found()
        results = [version_on_the_wire(training) for training in self._models.versions(owner, name)]
        return JSONResponse({"previous": None, "next": None, "results": results})

    async def get_version(self, request: Request) -> Response:
        if self._is_trainers(request):
            known = {"id": request.path_params["version"], "created_at": timestamp(0.0), "cog_version": "0.9.0"}
            return JSONResponse({**known, "openapi_schema": {}})
        training = self._version(request)
        return JSONResponse(version_on_the_wire(training)) if training else not_found()

    async def delete_version(self, request: Request) -> Response:
        training = self._version(request)
        if training is None:
            return not_found()
        self._models.delete_version(training)
        return Response(status_code=202)

    async def create_training(self, request: Request) -> Response:
        body = await self._json(request)
        model = f"{request.path_params['owner']}/{request.path_params['name']}"
        version = request.path_params["version"]
        if refusal := self._refusal(model, version, body):
            return refusal
        training = self._trainer.create(model=model, version=version, destination=body["destination"], body=body)
        return JSONResponse(self._rendering.show(training, time.time()), 201)

    async def list_trainings(self, request: Request) -> Response:
        cursor = request.query_params.get("cursor")
        if cursor is not None and not re.fullmatch(r"[0-9]{1,15}", cursor):
            return problem(400, "Invalid cursor")
        lag = request.state.faults.get("lag")
        now = time.time()
        visible_until = now - (lag.seconds or 0) if lag else now
        rows = [
            training
            for training in self._trainer.newest_first()
            if training.created_at <= visible_until and (cursor is None or training.number < int(cursor))
        ]
        page = rows[: (size := self._settings.page_size)]
        after = f"{self._rendering.base}/v1/trainings?cursor={page[-1].number}" if len(rows) > size else None
        results = [self._rendering.show(training, now, logs=False) for training in page]
        return JSONResponse({"previous": None, "next": after, "results": results})

    async def get_training(self, request: Request) -> Response:
        training = self._trainer.trainings.get(request.path_params["id"])
        return JSONResponse(self._rendering.show(training, time.time())) if training else not_found()

    async def cancel_training(self, request: Request) -> Response:
        training = self._trainer.trainings.get(request.path_params["id"])
        if training is None:
            return not_found()
        self._trainer.cancel(training)
        return JSONResponse(self._rendering.show(training, time.time()))

    def _refusal(self, model: str, version: str, body: dict[str, Any]) -> Response | None:
        if model != self._settings.trainer:
            return not_found()
        known = version == self._settings.trainer_version if self._settings.trainer_version else True
        if not known or not _VERSION.fullmatch(version):
            return problem(
                422, "The specified version does not exist (or perhaps you don't have permission to use it?)"
            )
        owner, _, name = str(body.get("destination", "")).partition("/")
        if self._models.find(owner, name) is None:
            return problem(404, "The specified training destination does not exist")
        values = body.get("input")
        if not isinstance(values, dict):
            return problem(422, "- input is required\n")
        webhook, events = body.get("webhook"), body.get("webhook_events_filter") or []
        if webhook is not None and not re.match(r"https?://[^/]", str(webhook)):
            return problem(422, "- webhook: Does not match format 'uri'\n")
        if not isinstance(events, list) or not _EVENTS.issuperset(map(str, events)):
            return problem(422, f"- webhook_events_filter: must be among {', '.join(sorted(_EVENTS))}\n")
        problems = find_problems(values)
        return invalid_input(problems) if problems else None

    def _version(self, request: Request) -> Training | None:
        owner, name, version = (request.path_params[part] for part in ("owner", "name", "version"))
        return next((each for each in self._models.versions(owner, name) if each.model_version == version), None)

    def _is_trainers(self, request: Request) -> bool:
        owner, name, version = (request.path_params[part] for part in ("owner", "name", "version"))
        known = self._settings.trainer_version in {"", version}
        return f"{owner}/{name}" == self._settings.trainer and known and bool(_VERSION.fullmatch(version))

    async def _json(self, request: Request) -> dict[str, Any]:
        try:
            body = json.loads(await body_of(request, self._settings.max_body_bytes))
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}
