"""A small server that speaks ingest's public API on the wire: drafts, photos, verdicts, a live stream, a model.

Verdicts follow from file names (`blurry-…`), so a test says by its files what shall happen.
"""

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lifemask.contracts import Verdict, new_id, sentence

KEY = "the-app-key"
MINIMUM = 12
START = datetime(2026, 1, 1, tzinfo=UTC)
AFTER_SUBMIT = ("accepted", "validating", "packaging", "training", "publishing", "ready")
STAGES = {
    "draft": "request",
    "accepted": "request",
    "validating": "validate",
    "packaging": "package",
    "training": "train",
    "publishing": "publish",
    "ready": "notify",
    "failed": "train",
}


@dataclass
class FakeRun:
    id: str
    wish: dict[str, Any]
    status: str = "draft"
    photos: list[dict[str, Any]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


@dataclass
class Api:
    """The server's state, shared with the test. `after_submit` are the statuses that follow one another."""

    url: str = ""
    after_submit: tuple[str, ...] = AFTER_SUBMIT
    busy: int = 0
    """So many upload calls are answered 429 first."""
    stream_cuts: int = 0
    """So many streams are cut after their first event."""
    runs: dict[str, FakeRun] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)
    resumed_behind: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        run = "/v1/users/{user}/runs/{run}"
        return Starlette(
            routes=[
                Route("/v1/users/{user}/runs", self._guarded(self.create), methods=["POST"]),
                Route("/v1/users/{user}/runs", self._guarded(self.listed)),
                Route(run, self._guarded(self.show)),
                Route(f"{run}/photos", self._guarded(self.upload), methods=["POST"]),
                Route(f"{run}/photos", self._guarded(self.photos)),
                Route(f"{run}/submit", self._guarded(self.submit), methods=["POST"]),
                Route(f"{run}/events", self._guarded(self.events)),
                Route("/v1/users/{user}/models/{model}", self._guarded(self.model)),
                Route("/v1/users/{user}/contact", self._guarded(self.contact), methods=["PUT"]),
            ]
        )

    def _guarded(self, endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def call(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return problem(
                    401, "unauthorized", "The request carries no valid key of an app.", "Send your app's key."
                )
            if (run := request.path_params.get("run")) and run not in self.runs:
                return problem(404, "not_found", "There is nothing at this address that your key may see.", "Check it.")
            answer: Response = await endpoint(request)
            return answer

        return call

    async def create(self, request: Request) -> Response:
        assert request.headers["idempotency-key"]
        run = FakeRun(new_id(), await request.json())
        self.runs[run.id] = run
        return JSONResponse(self.view(run), 201)

    async def listed(self, request: Request) -> Response:
        """Two a page."""
        runs = list(reversed(self.runs.values()))
        ids = [run.id for run in runs]
        begin = ids.index(request.query_params["cursor"]) + 1 if "cursor" in request.query_params else 0
        page = runs[begin : begin + 2]
        more = page[-1].id if begin + 2 < len(runs) else None
        return JSONResponse({"runs": [self.view(run) for run in page], "next": more})

    async def show(self, request: Request) -> Response:
        return JSONResponse(self.view(self.runs[request.path_params["run"]]))

    async def upload(self, request: Request) -> Response:
        if self.busy:
            self.busy -= 1
            await request.body()
            return problem(429, "too_many_requests", "Too many at once.", "Again later.", {"Retry-After": "0"})
        run = self.runs[request.path_params["run"]]
        async with request.form() as form:
            files = [file for file in form.getlist("photos") if isinstance(file, UploadFile)]
            results = [await self._receive(run, file) for file in files]
        return JSONResponse({"results": results, "photos": counts(run)})

    async def _receive(self, run: FakeRun, file: UploadFile) -> dict[str, Any]:
        content = await file.read()
        name, digest = str(file.filename), hashlib.sha256(content).hexdigest()
        if len(content) < 10:
            code = Verdict.FILE_TOO_SMALL
            step = "A photo must have at least 10 KB."
            return {"name": name, "status": "refused", "code": code, "sentence": sentence(code), "next_step": step}
        if known := next((photo for photo in run.photos if photo["sha256"] == digest), None):
            return {
                "name": name,
                "status": "duplicate",
                "photo_id": known["id"],
                "sentence": "This very file is there.",
            }
        photo = {"id": new_id(), "name": name, "sha256": digest, "status": "pending", "verdicts": []}
        run.photos.append(photo)
        asyncio.get_running_loop().call_later(0.02, self._judge, run, photo)
        return {"name": name, "status": "received", "photo_id": photo["id"]}

    def _judge(self, run: FakeRun, photo: dict[str, Any]) -> None:
        code = photo["name"].partition("-")[0]
        unfit = code in set(Verdict)
        photo["status"] = "rejected" if unfit else "usable"
        photo["verdicts"] = [{"code": code, "sentence": sentence(code)}] if unfit else []
        run.changes.append("photo")

    async def photos(self, request: Request) -> Response:
        return JSONResponse({"photos": self.runs[request.path_params["run"]].photos})

    async def submit(self, request: Request) -> Response:
        run = self.runs[request.path_params["run"]]
        asyncio.get_running_loop().call_soon(self._advance, run, list(self.after_submit))
        return JSONResponse(self.view(run), 202)

    def _advance(self, run: FakeRun, coming: list[str]) -> None:
        run.status = coming.pop(0)
        run.changes.append("run")
        if coming:
            asyncio.get_running_loop().call_later(0.03, self._advance, run, coming)

    async def events(self, request: Request) -> Response:
        run = self.runs[request.path_params["run"]]
        last = request.headers.get("last-event-id")
        if last is not None:
            self.resumed_behind.append(last)
        after = int(last or 0)
        if run.status == "ready" and after >= len(run.changes):
            return Response(status_code=204)
        return StreamingResponse(self._follow(run, after), media_type="text/event-stream")

    async def _follow(self, run: FakeRun, after: int) -> AsyncIterator[str]:
        yield ": hello\n\nretry: 2000\n\n"
        while True:
            while after < len(run.changes):
                after += 1
                yield f"id: {after}\nevent: {run.changes[after - 1]}\ndata: {json.dumps(self.view(run))}\n\n"
                if self.stream_cuts:
                    self.stream_cuts -= 1
                    return
                if run.status == "ready" and after == len(run.changes):
                    return
            await asyncio.sleep(0.01)

    async def model(self, request: Request) -> Response:
        return JSONResponse({"id": request.path_params["model"], "weights_url": f"{self.url}/v1/objects/token"})

    async def contact(self, request: Request) -> Response:
        self.contacts[request.path_params["user"]] = (await request.json())["email"]
        return Response(status_code=204)

    def view(self, run: FakeRun) -> dict[str, Any]:
        done = AFTER_SUBMIT.index(run.status) if run.status in AFTER_SUBMIT else 0
        names = ("created_at", "submitted_at", "validated_at", "packaged_at", "trained_at", "ended_at")
        ready = run.status == "ready"
        return {
            "id": run.id,
            "name": run.wish["name"],
            "status": run.status,
            "delayed": False,
            "stage": STAGES[run.status],
            "progress": 20 * done,
            "summary": f"It is {run.status}.",
            "whose_move": "nobody" if ready else "you",
            "next_step": "Use your model." if ready else "Wait.",
            "photos": counts(run),
            "training": {"steps": 1000, "step": 420 if done > 2 else None, "percent": 42, "trigger_word": "TOK"},
            "model": {"id": new_id(), "version": "1-1", "hub_repo": "lifemask/lora-1"} if ready else None,
            "cost": {"currency": "USD", "estimated": "1.04", "billed": "1.02" if ready else None} if done > 2 else None,
            "attempts": [{"stage": "train", "number": 1, "result": "succeeded"}] if ready else [],
            "timings": {
                **{
                    name: (START + timedelta(seconds=index)).isoformat() for index, name in enumerate(names[: done + 1])
                },
                "seconds": 5.0 if ready else None,
            },
            "metadata": {"order": "1234"},
        }


def counts(run: FakeRun) -> dict[str, int]:
    states = [photo["status"] for photo in run.photos]
    rejected = states.count("rejected")
    return {
        "received": len(states),
        "pending": states.count("pending"),
        "usable": states.count("usable"),
        "rejected": rejected,
        "needed": max(0, MINIMUM - len(states) + rejected),
    }


def problem(status: int, code: str, detail: str, next_step: str, headers: dict[str, str] | None = None) -> JSONResponse:
    document = {"status": status, "code": code, "title": code, "detail": detail, "next_step": next_step}
    return JSONResponse(document, status, media_type="application/problem+json", headers=headers)


@contextmanager
def served(api: Api) -> Iterator[Api]:
    """Serves from a thread of its own, so that a command's own event loop can call it."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        api.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        config = uvicorn.Config(api.app(), log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.should_exit = True
            thread.join(timeout=10)
