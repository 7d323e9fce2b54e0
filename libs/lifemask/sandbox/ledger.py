"""The sandbox's own pages: what was billed, published, mailed and told, and the fault switches."""

import time
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lifemask.sandbox.calls import Calls
from lifemask.sandbox.faults import Fault, Faults
from lifemask.sandbox.mail import Mailbox
from lifemask.sandbox.models import Models
from lifemask.sandbox.problems import problem
from lifemask.sandbox.repos import Repo, Repos
from lifemask.sandbox.store import Store
from lifemask.sandbox.trainer import Trainer
from lifemask.sandbox.training import TERMINAL, Training, billed_seconds, completed_at, cost, status_of
from lifemask.sandbox.webhooks import LOG as WEBHOOKS
from lifemask.sandbox.wire import body_of

_ONE_OR_MANY: TypeAdapter[Fault | list[Fault]] = TypeAdapter(Fault | list[Fault])
_MOST_BYTES = 1_000_000


class Ledger:
    """Reads everything, changes nothing but the switches."""

    def __init__(
        self,
        *,
        trainer: Trainer,
        models: Models,
        repos: Repos,
        mailbox: Mailbox,
        faults: Faults,
        calls: Calls,
        store: Store,
    ) -> None:
        self._trainer = trainer
        self._models = models
        self._repos = repos
        self._mailbox = mailbox
        self._faults = faults
        self._calls = calls
        self._store = store

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.health),
            Route("/ledger", self.ledger),
            Route("/mails", self.mails),
            Route("/faults", self.show_faults, methods=["GET"]),
            Route("/faults", self.set_faults, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
        ]

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ledger(self, _: Request) -> Response:
        now = time.time()
        trainings = list(self._trainer.trainings.values())
        total = sum((cost(training, now) for training in trainings), Decimal(0))
        return JSONResponse(
            {
                "trainings": [self._training(training, now) for training in trainings],
                "cost_usd": f"{total:f}",
                "repos": [_repo(repo) for repo in self._repos.all()],
                "commits": [_commit(repo, number) for repo in self._repos.all() for number in range(len(repo.commits))],
                "mails": self._mailbox.lines(),
                "webhooks": list(self._store.lines(WEBHOOKS)),
                "calls": self._calls.totals(),
            }
        )

    async def mails(self, _: Request) -> Response:
        return JSONResponse(self._mailbox.parsed())

    async def show_faults(self, _: Request) -> Response:
        return JSONResponse([fault.model_dump() for fault in self._faults.active()])

    async def set_faults(self, request: Request) -> Response:
        try:
            wanted = _ONE_OR_MANY.validate_json(await body_of(request, _MOST_BYTES))
        except ValidationError as error:
            return problem(
                422, "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            )
        for fault in wanted if isinstance(wanted, list) else [wanted]:
            self._faults.set(fault.model_copy(update={"hits": 0}))
        return await self.show_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self._faults.clear()
        return await self.show_faults(request)

    def _training(self, training: Training, now: float) -> dict[str, Any]:
        status = status_of(training, now)
        archive = training.archive
        return {
            "id": training.id,
            "status": status,
            "is_over": status in TERMINAL,
            "is_settled": training.callback.settled,
            "input_path": training.input_path,
            "webhook": training.webhook,
            "destination": training.destination,
            "steps": training.steps,
            "seconds": billed_seconds(training, now),
            "cost_usd": f"{cost(training, now):f}",
            "created_at": training.created_at,
            "completed_at": completed_at(training, now),
            "model_version": training.model_version if status == "succeeded" else None,
            "version_deleted": self._models.is_deleted(training),
            "archive": None if archive is None else archive.model_dump(exclude={"captions"}),
            "images": None if archive is None else len(archive.captions),
        }


def _repo(repo: Repo) -> dict[str, Any]:
    return {
        "id": repo.id,
        "visibility": repo.visibility,
        "head": repo.head.oid,
        "commits": len(repo.commits),
        "deleted_at": repo.deleted_at,
        "files": {path: {"sha256": entry.sha256, "bytes": entry.size} for path, entry in repo.head.tree.items()},
    }


def _commit(repo: Repo, number: int) -> dict[str, Any]:
    """The first commit of a repository is the hub's own."""
    commit = repo.commits[number]
    return {"repo": repo.id, "oid": commit.oid, "title": commit.title, "at": commit.at, "by_hub": number == 0}
