"""A right is taken from one service: its stage pauses and says which, others go on, and it resumes by itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.real.system import PATIENCE, up
from tests.real.test_doctor import admin_of
from tests.real.test_store_accounts import ACCOUNTS, POLICIES
from tests.real.world import until
from tools.s3 import S3Place, running_s3

from lifemask.cli.client import Api
from lifemask.cli.portraits import draw_album
from lifemask.cli.store_accounts import bucket_policy, make_accounts, secret_variable
from lifemask.contracts import new_id

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

TAKEN: Final = "users/*/runs/*/clean/*"
QUICK: Final = {"LIFEMASK_PAUSE": "0.5", "LIFEMASK_PAUSE_MAX": "1", "LIFEMASK_SANDBOX_TRAINING_SECONDS": "0.5"}


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Place]:
    async with running_s3(tmp_path / "s3") as place:
        for name, value in place.environment().items():
            monkeypatch.setenv(name, value)
        await make_accounts(place.bucket, POLICIES, ACCOUNTS)
        yield place


async def test_packaging_alone_pauses_and_everything_finishes_by_itself(place: S3Place, tmp_path: Path) -> None:
    photos = [drawn.path for drawn in draw_album(tmp_path / "photos", photos=13, unfit=1)]
    secrets = {secret_variable(account.service): account.secret for account in ACCOUNTS}
    await allow(place, packager_reads=False)
    async with (
        up(tmp_path / "data", place.environment() | secrets | QUICK) as ready,
        Api(ready["url"], ready["app_key"]) as api,
        httpx.AsyncClient() as http,
    ):
        users = [f"u{new_id()[-12:]}" for _ in range(3)]
        runs = await asyncio.gather(*(begin(api, user, photos) for user in users))

        async def all_delayed() -> bool:
            found = [await api.run(user, run) for user, run in zip(users, runs, strict=True)]
            return all(run.delayed for run in found)

        await until(all_delayed)
        readiness = {name: await readyz(http, url) for name, url in ready["services"].items()}
        assert [name for name, found in readiness.items() if found["paused"]] == ["packager"]
        paused = f"store_denied: s3:GetObject denied on {place.bucket}/users/… (s3:ListBucket ok)"
        assert readiness["packager"]["paused"] == paused
        assert readiness["packager"]["dead"] == 0
        assert all(found["ready"] for name, found in readiness.items() if name != "packager")
        await allow(place, packager_reads=True)
        async with asyncio.timeout(PATIENCE):
            for user, run in zip(users, runs, strict=True):
                async for _ in api.events(user, run):
                    pass
        ended = [await api.run(user, run) for user, run in zip(users, runs, strict=True)]
        assert [(run.status, run.delayed) for run in ended] == [("ready", False)] * len(runs)
        assert (await readyz(http, ready["services"]["packager"]))["paused"] is None


async def begin(api: Api, user: str, photos: list[Path]) -> str:
    run = await api.create_run(user, {"name": "Real", "trigger_word": "TOK"}, idempotency_key=new_id())
    await api.upload(user, run.id, photos)
    await api.submit(user, run.id)
    return run.id


async def readyz(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"{url}/readyz")).json()
    return found


async def allow(place: S3Place, *, packager_reads: bool) -> None:
    """The bucket's policy, with or without the packager's right to read clean photos."""
    policy = json.loads(bucket_policy(place.bucket, POLICIES, ACCOUNTS))
    if not packager_reads:
        policy["Statement"] = [
            each
            for each in policy["Statement"]
            if each["Principal"]["AWS"] != ["lifemask-packager"] or not each["Resource"][0].endswith(TAKEN)
        ]
    async with admin_of(place) as s3:
        await s3.put_bucket_policy(Bucket=place.bucket, Policy=json.dumps(policy, separators=(",", ":")))
