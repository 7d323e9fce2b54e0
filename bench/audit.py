"""One audit of a model on the local store, hub included, and the sweep over 1,000 and 10,000 models.

`python -m bench.audit`. The audit's floor is hashing the same files once; weights have the 172 MB of rank 16. The
models of the sweep have rows, statements, manifests and objects like real ones, but photos of a few bytes: a sweep
reads no others. Provider and hub answer from this process's memory. Goals: an audit under 1 s; 10,000 models under
60 s, in no more than 11 times what 1,000 take.
"""

import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.machine import embedded
from bench.models import Models
from bench.row import Row, measure
from bench.whole_run import AT_ONCE, PHOTOS, draft

from lifemask.audit.collecting import Outside, collect
from lifemask.audit.explaining import explain
from lifemask.audit.findings import Report
from lifemask.audit.hub import open_hub
from lifemask.audit.judging import judge
from lifemask.audit.sweeping import Everywhere, take_inventory
from lifemask.bus.migrate import migrate
from lifemask.cli.client import Api
from lifemask.cli.embedded.postgres import running_postgres
from lifemask.cli.installation import Installation
from lifemask.cli.journey import photos_in
from lifemask.cli.machine import Machine
from lifemask.cli.portraits import draw_album
from lifemask.contracts.keyring import Keyring
from lifemask.keys.files import Trust
from lifemask.objects import open_objects
from lifemask.testkit.keys import test_keys

AUDIT_GOAL: Final = 1.0
SWEEP_GOAL: Final = 60.0
LINEAR: Final = 1.1
"""Ten times the models may take this many times ten times as long."""
ROUNDS: Final = 9
WEIGHTS: Final = 172_000_000
FEW, MANY = 1_000, 10_000


async def trained(machine: Machine, photos: list[Path]) -> str:
    """A model made by the whole system; its id."""
    assert machine.app_key is not None
    async with Api(machine.url, machine.app_key) as api:
        run, _ = await draft(api, "bench", photos)
        await api.submit("bench", run)
        async with asyncio.timeout(120):
            while not (found := await api.run("bench", run)).is_over:  # noqa: ASYNC110  the API tells by being asked
                await asyncio.sleep(0.1)
        assert found.model, found.status
        await asyncio.sleep(1.0)  # the temporary objects go
        return found.model.id


async def audited(where: Installation, model: str, keyring: Keyring, *, with_hub: bool) -> Report:
    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(open_objects(where.store()))
        assert where.hub is not None
        hub = await stack.enter_async_context(open_hub(where.hub.url, where.hub.token)) if with_hub else None
        return judge(await collect(model, objects, Outside(where.database(), hub=hub), keyring), keyring)


def hashed(files: Sequence[Path]) -> float:
    """Seconds for hashing files, each once: what no audit can leave out."""
    began = time.perf_counter()
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - began


async def one_audit() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        await asyncio.to_thread(draw_album, home / "photos", photos=PHOTOS, unfit=0)
        settings = AT_ONCE | {"LIFEMASK_SANDBOX_WEIGHT_BYTES": str(WEIGHTS)}
        async with embedded(home / "data", None, **settings) as machine:
            model = await trained(machine, photos_in(home / "photos"))
            where, keyring = Installation.find(machine.data, {}), Trust(machine.data / "keys").keyring
            files = [path for path in (machine.data / "objects" / "users").rglob("*") if path.is_file()]
            taken: dict[str, list[float]] = {"floor": [], "store": [], "store and hub": []}
            for _ in range(ROUNDS):
                taken["floor"].append(await asyncio.to_thread(hashed, files))
                for name in ("store", "store and hub"):
                    began = time.perf_counter()
                    report = await audited(where, model, keyring, with_hub=name != "store")
                    taken[name].append(time.perf_counter() - began)
                    assert report.holds
    times = {name: statistics.median(values) for name, values in taken.items()}
    size = sum(path.stat().st_size for path in files if path.exists()) or WEIGHTS
    rate = round(size / 1e6 / times["floor"])
    return [
        Row(
            what=f"audit of a model, {PHOTOS} photos, {WEIGHTS // 10**6} MB of weights, local store",
            measured=times["store"],
            unit="s",
            most=AUDIT_GOAL,
            facts={"hashing_alone_s": round(times["floor"], 3), "hashing_mb_per_s": rate},
        ),
        Row(
            what="audit, weights on the hub read as well",
            measured=times["store and hub"],
            unit="s",
            floor=times["store"],
            against="without the hub",
        ),
    ]


async def swept(models: Models, where: Everywhere) -> float:
    keyring = test_keys().keyring
    began = time.perf_counter()
    inventory = await take_inventory(where, keyring)
    found = explain(inventory, models.price)
    assert found == [], found[:3]
    assert len(inventory.rows.models) == models.count
    return time.perf_counter() - began


async def sweeps() -> list[Row]:
    taken: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        async with running_postgres(home / "pg", fsync=False) as dsn, AsyncExitStack() as stack:
            await migrate(dsn)
            objects = await stack.enter_async_context(open_objects((home / "objects").as_uri()))
            models = Models(home / "objects", dsn)
            hub, provider = models.outside()
            where = Everywhere(dsn, objects, hub, "bench", provider, "bench/models")
            for count in (FEW, MANY):
                await models.grow(count)
                taken[count] = min([await swept(models, where) for _ in range(3 if count == FEW else 2)])
    return [
        Row(
            what=f"audit --all, metadata of {MANY:,} models",
            measured=taken[MANY],
            unit="s",
            most=SWEEP_GOAL,
            facts={"ms_per_model": round(taken[MANY] / MANY * 1000, 2)},
        ),
        Row(
            what=f"audit --all, {MANY:,} models",
            measured=taken[MANY],
            unit="s",
            floor=taken[FEW] * MANY / FEW,
            against=f"{MANY // FEW} times {FEW:,} models",
            most=LINEAR,
        ),
    ]


async def main() -> list[Row]:
    """Both."""
    return [*await one_audit(), *await sweeps()]


if __name__ == "__main__":
    measure(main)
