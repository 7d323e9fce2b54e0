"""Many finished models for measurements: rows, signed chains and objects, as runs leave them. No services run."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from lifemask.audit.hub import Hub
from lifemask.audit.provider import Provider
from lifemask.contracts import ModelReady, new_id
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    DatasetFields,
    DatasetManifest,
    DatasetMember,
    JudgedPhoto,
    PublicationFields,
    PublicationManifest,
    TrainingFields,
    TrainingManifest,
    UploadedPhoto,
    UploadFields,
    UploadManifest,
    ValidationFields,
    ValidationManifest,
    WeightsFields,
)
from lifemask.objects import keys
from lifemask.testkit.custody import AllServices
from lifemask.testkit.objects import InMemoryObjects

_PHOTOS: Final = 12
_AT: Final = datetime.now(UTC) - timedelta(days=30)
_PAGE: Final = 100


class Models:
    """`count` models of as many users, in the directory `root` and the database at `dsn` (migrated, a superuser's)."""

    price: Final = Decimal("0.001525")

    def __init__(self, root: Path, dsn: str) -> None:
        self.count = 0
        self._root = root
        self._dsn = dsn
        self._names: list[tuple[str, str, str]] = []

    async def grow(self, count: int) -> None:
        """Adds models until there are so many."""
        fresh: list[tuple[str, str, str]] = []
        while self.count < count:
            name = (f"bench.u{self.count:06d}", new_id(), new_id())
            for key, data in (await _chain(*name)).items():
                path = self._root / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            fresh.append(name)
            self.count += 1
        self._names += fresh
        await self._insert(fresh)

    def outside(self) -> tuple[Hub, Provider]:
        """A hub and a provider that hold exactly these models, page by page."""
        transport = httpx.MockTransport(self._answer)
        client = httpx.AsyncClient(transport=transport, base_url="http://outside", follow_redirects=True)
        return Hub(client), Provider(client)

    async def _insert(self, names: list[tuple[str, str, str]]) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            for table, row in _ROWS.items():
                rows = [row(*name) for name in names]
                columns = tuple(rows[0])
                await connection.copy_records_to_table(
                    table.partition(".")[2],
                    schema_name=table.partition(".")[0],
                    columns=columns,
                    records=[tuple(each[column] for column in columns) for each in rows],
                )
        finally:
            await connection.close()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("cursor", 0))
        hub = request.url.path == "/api/models"
        size = 1000 if hub else _PAGE
        page = self._names[start : start + size]
        after = str(request.url.copy_set_param("cursor", start + size)) if start + size < self.count else None
        if hub:
            headers = {"link": f'<{after}>; rel="next"'} if after else {}
            return httpx.Response(200, json=[{"id": _repo(model)} for _, _, model in page], headers=headers)
        shown = _training if request.url.path == "/v1/trainings" else _version
        return httpx.Response(200, json={"next": after, "results": [shown(run) for _, run, _ in page]})


def _repo(model: str) -> str:
    return f"bench/lora-{model}"


def _training(run: str) -> dict[str, Any]:
    found = {"id": f"t-{run}", "status": "succeeded", "metrics": {"predict_time": 682.0}}
    return found | {"input": {"input_images": f"http://ingest/v1/objects/{run}"}}


def _version(run: str) -> dict[str, Any]:
    return {"id": f"v{run}"}


async def _chain(user: str, run: str, model: str) -> dict[str, bytes]:
    """Every object that a finished run leaves."""
    objects = InMemoryObjects()
    chain, who = AllServices(objects), (user, run)
    await chain.begin(*who)
    photos = [new_id() for _ in range(_PHOTOS)]
    digest = digest_of(run.encode())
    upload = UploadManifest(
        request=digest, photos=tuple(UploadedPhoto(id=each, sha256=digest, bytes=9, at="…") for each in photos)
    )
    fields = UploadFields(door="http", count=_PHOTOS, bytes=9 * _PHOTOS)
    last = await chain.seal(UPLOAD, *who, fields=fields, manifest=upload, at=_AT)
    judged = tuple(JudgedPhoto(id=each, original=digest, clean=digest, bytes=9) for each in photos)
    last = await chain.seal(
        VALIDATION,
        *who,
        fields=ValidationFields(received=_PHOTOS, usable=_PHOTOS, policy=digest, encoder="bench"),
        manifest=ValidationManifest(pairs=judged),
        previous=last,
        at=_AT,
    )
    members = tuple(DatasetMember(name=f"{n:02}.jpg", sha256=digest, bytes=9) for n in range(_PHOTOS))
    last = await chain.seal(
        DATASET,
        *who,
        fields=DatasetFields(members=_PHOTOS, bytes=99, format="zip"),
        manifest=DatasetManifest(archive=digest, members=members),
        previous=last,
        at=_AT,
    )
    last = await chain.seal(
        TRAINING,
        *who,
        fields=TrainingFields(provider="replicate", trainer="o/t:1", steps=1000, rank=16, learning_rate="0.0001"),
        manifest=TrainingManifest(archive_key=keys.archive(*who, 1), trigger_word="TOK"),
        previous=last,
        at=_AT,
    )
    weights = WeightsFields(training=f"t-{run}", version=f"bench/models:v{run}", bytes=9, fetches=1, echo="matched")
    last = await chain.seal(WEIGHTS, *who, fields=weights, subject=digest, previous=last, at=_AT)
    place = keys.model_weights(user, model, "1-1")
    await chain.seal(
        PUBLICATION,
        *who,
        fields=PublicationFields(model=model, version="1-1", hub_commit="c", read_back=("store", "hub")),
        manifest=PublicationManifest(store_key=place, metadata=digest, repo=_repo(model), card=digest),
        subject=digest,
        previous=last,
        at=_AT,
    )
    for key in (place, keys.model_metadata(user, model, "1-1"), keys.request(*who)):
        await objects.put(key, b"something")
    return {key: await objects.get(keys.Key(key), limit=1 << 20) for key in objects.keys}


def _run(user: str, run: str, _model: str) -> dict[str, Any]:
    facts = {"end": {"type": ModelReady.ce_type, "at": _AT.isoformat()}}
    return {"user_id": user, "run_id": run, "request": "{}", "over": True, "facts": json.dumps(facts)}


def _model(user: str, run: str, model: str) -> dict[str, Any]:
    where = {"version": "1-1", "store_key": keys.model_weights(user, model, "1-1"), "hub_repo": _repo(model)}
    what = {"weights": digest_of(run.encode()), "bytes": 9, "ready_at": _AT}
    return {"user_id": user, "run_id": run, "model_id": model} | where | what


def _publication(user: str, run: str, model: str) -> dict[str, Any]:
    found = {"state": "published", "place": "1-1", "repo": _repo(model), "changed_at": _AT}
    return {"user_id": user, "run_id": run, "model_id": model} | found


def _attempt(user: str, run: str, _model: str) -> dict[str, Any]:
    plan = {"trainer": "o/t:1", "dataset": "d", "archive_key": "k", "steps": 1000, "lora_rank": 16}
    more: dict[str, Any] = {"photos": _PHOTOS, "archive_bytes": 99, "seen_at": _AT}
    more |= {"learning_rate": "0.0001", "estimated_cost_usd": Decimal("1.04"), "url_expires_at": _AT}
    made = {"training": f"t-{run}", "version": f"bench/models:v{run}", "archive_url": f"http://ingest/v1/objects/{run}"}
    return {"user_id": user, "run_id": run, "number": 1, "state": "succeeded", "gateway": True} | plan | more | made


def _booked(user: str, run: str, _model: str) -> dict[str, Any]:
    found = {"training": f"t-{run}", "attempt": 1, "ended_as": "succeeded", "seconds": Decimal(682), "found_at": _AT}
    return {"user_id": user, "run_id": run, "cost_usd": Decimal("1.04"), "booked_at": _AT} | found


_ROWS: Final = {
    "ingest.run": _run,
    "ingest.model": _model,
    "publisher.publication": _publication,
    "trainer.attempt": _attempt,
    "trainer.provider_training": _booked,
}
