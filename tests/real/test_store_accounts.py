"""Each service with an account of its own at a real S3: enough for a whole run, and for nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from tests.real.system import PATIENCE, up
from tools.s3 import S3Place, running_s3

from lifemask.bus.outcomes import Misconfigured
from lifemask.bus.roles import SERVICES
from lifemask.cli.client import Api
from lifemask.cli.portraits import draw_album
from lifemask.cli.store_accounts import Account, bucket_policy, make_accounts, secret_variable
from lifemask.contracts import FailureCode, new_id
from lifemask.objects import keys, open_objects
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectStore

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

POLICIES: Final = Path(__file__).parents[2] / "deploy" / "s3"
ACCOUNTS: Final = [Account(service, f"secret-of-{service}") for service in SERVICES]
OWN_STATEMENTS: Final = {
    "ingest": (1,),
    "image-validator": (2,),
    "packager": (3,),
    "trainer": (4, 5),
    "publisher": (6,),
}
STAGES: Final = ("request", "validate", "package", "train", "publish")
STEPS: Final = ("upload", "validation", "dataset", "training", "weights", "publication")
MAY: Final[dict[str, dict[str, str]]] = {
    "ingest": {
        "incoming": "rwd",
        "original": "rwd",
        "names": "rwd",
        "request": "w",
        "contact": "w",
        "clean": "d",
        "archive": "rd",
        "weights": "d",
        "model_weights": "r",
        "owner": "rw",
        "swept": "w",
        "quarantined": "w",
    },
    "image-validator": {
        "request": "r",
        "original": "r",
        "clean": "wd",
        "verdict": "w",
        "owner": "r",
        "quarantined": "w",
    },
    "packager": {"clean": "r", "archive": "rw", "owner": "r", "quarantined": "w"},
    "trainer": {"request": "r", "archive": "r", "weights": "w", "owner": "r", "quarantined": "w"},
    "publisher": {
        "request": "r",
        "weights": "r",
        "model_weights": "rwd",
        "model_metadata": "rwd",
        "owner": "r",
        "quarantined": "w",
    },
    "notifier": {"request": "r", "contact": "r"},
}
"""Read, write, delete: everything that a service may do with a group of keys; statements are added below."""


def places() -> dict[str, Key]:
    """One key of every group, of a user of their own."""
    run, photo = new_id(), new_id()
    user = f"acme.{run}"
    found = {
        "incoming": keys.incoming("acme", run, "holiday", "1.jpg"),
        "original": keys.original(user, run, photo),
        "names": keys.names(user, run),
        "request": keys.request(user, run),
        "contact": keys.contact(user),
        "clean": keys.clean(user, run, photo),
        "verdict": keys.verdict(user, run, photo),
        "archive": keys.archive(user, run, 1),
        "weights": keys.weights(user, run, 1),
        "model_weights": keys.model_weights(user, new_id(), "1-1"),
        "model_metadata": keys.model_metadata(user, new_id(), "1-1"),
        "owner": keys.owner(user, run),
        "swept": keys.swept(datetime.now(UTC)),
        "quarantined": keys.quarantined(user, run, keys.statement(user, run, 1, "upload", 1)),
    }
    at = datetime.now(UTC)
    found |= {f"refusal-{number}": keys.act(user, run, "refusal", stage, at) for number, stage in enumerate(STAGES, 1)}
    found["disposal-1"] = keys.act(user, run, "disposal", "work", at)
    return found | {
        f"{kind.__name__}-{number}": kind(user, run, number, step, 1)
        for number, step in enumerate(STEPS, start=1)
        for kind in (keys.statement, keys.manifest)
    }


def allowed(service: str, place: str) -> str:
    """What the service may do there."""
    kind, _, number = place.partition("-")
    if kind not in {"statement", "manifest", "refusal", "disposal"}:
        return MAY[service].get(place, "")
    if service == "notifier":
        return ""
    if kind == "refusal":
        return "rw" if STAGES[int(number) - 1] == STAGES[SERVICES.index(service)] else "r"
    return "rw" if int(number) in OWN_STATEMENTS[service] else "r"


@dataclass
class Shop:
    """A store with accounts, seen by its administrator and as each service."""

    place: S3Place
    admin: ObjectStore
    stores: dict[str, ObjectStore]


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Place]:
    """The store, with the accounts that `lifemask prepare` makes; made twice, as at every start."""
    async with running_s3(tmp_path / "s3") as place:
        for name, value in place.environment().items():
            monkeypatch.setenv(name, value)
        await make_accounts(place.bucket, POLICIES, [Account(each.service, "an-old-secret") for each in ACCOUNTS])
        await make_accounts(place.bucket, POLICIES, ACCOUNTS)
        yield place


@pytest.fixture
async def shop(place: S3Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(open_objects(f"s3://{place.bucket}"))
        stores = {}
        for account in ACCOUNTS:
            for name, value in account.environment().items():
                monkeypatch.setenv(name, value)
            stores[account.service] = await stack.enter_async_context(open_objects(f"s3://{place.bucket}"))
        yield Shop(place, admin, stores)


async def test_a_run_needs_no_more_than_the_services_own_accounts(place: S3Place, tmp_path: Path) -> None:
    """What all are told names nobody: a service that did not use its own account would be refused."""
    nobody = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nobody-at-all"}
    secrets = {secret_variable(account.service): account.secret for account in ACCOUNTS}
    photos = [drawn.path for drawn in draw_album(tmp_path / "photos", photos=13, unfit=1)]
    user = f"u{new_id()[-12:]}"
    async with up(tmp_path / "data", place.environment() | nobody | secrets) as ready, _api(ready) as api:
        await api.set_contact(user, "ann@example.com")
        run = await api.create_run(user, {"name": "Real", "trigger_word": "TOK"}, idempotency_key=new_id())
        await api.upload(user, run.id, photos)
        await api.submit(user, run.id)
        async with asyncio.timeout(PATIENCE):
            async for _ in api.events(user, run.id):
                pass
        ended = await api.run(user, run.id)
    assert ended.status == "ready", ended.summary


def _api(ready: dict[str, Any]) -> Api:
    return Api(ready["url"], ready["app_key"])


async def test_whatever_else_a_service_tries_is_denied(shop: Shop) -> None:
    found = await asyncio.gather(*(tried(shop, service) for service in SERVICES))
    for service, may in zip(SERVICES, found, strict=True):
        assert may == {name: allowed(service, name) for name in may}, service


async def tried(shop: Shop, service: str) -> dict[str, str]:
    """What a service could do with a key of each group, by trying."""
    store, found = shop.stores[service], dict[str, str]()
    for name, key in places().items():
        found[name] = ""
        for act in "rwd":
            await shop.admin.put(key, b"theirs")
            if await _may(store, act, key):
                found[name] += act
            else:
                assert await shop.admin.get(key, limit=9) == b"theirs"
    return found


async def test_what_is_missing_is_missing_and_not_forbidden(shop: Shop) -> None:
    """A missing object is a matter of custody, a forbidden one of configuration: whoever may read must see which."""
    for service in SERVICES:
        for name, key in places().items():
            if "r" in allowed(service, name):
                assert await shop.stores[service].head(key) is None, (service, name)


async def _may(store: ObjectStore, act: str, key: Key) -> bool:
    try:
        match act:
            case "r":
                await store.get(key, limit=9)
            case "w":
                await store.put(key, b"mine")
            case _:
                await store.delete(key)
    except Misconfigured as refused:
        if refused.code is not FailureCode.STORE_DENIED or "denied on" not in refused.detail:
            raise
        return False
    return True


def test_the_policies_fit_into_one_of_a_bucket() -> None:
    """20 KB is what S3 takes."""
    policy = bucket_policy("a-bucket-with-a-rather-long-name", POLICIES, ACCOUNTS)
    assert len(policy) < 20_480
    assert "lifemask/" not in policy
    assert {each["Effect"] for each in json.loads(policy)["Statement"]} == {"Allow"}
