"""What custody adds to a run: statements written and verified, events signed and checked; against the whole run.

`python -m bench.custody`. The runs are those of `bench.whole_run`, from submit to `ModelReady`. Afterwards everything
that custody did in the last of them is done again, alone, on the same files: each gate opens its chain, each statement
is signed and written, each event of the run after its submit is signed once and checked by all six services, which is
more than read it. Goal: the sum is at most 5 % of the whole. For custody alone nothing is read but the statements and,
once, before paying, the archive, whose time per megabyte is a row of its own.
"""

import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.machine import embedded
from bench.row import Row, measure
from bench.whole_run import AT_ONCE, PHOTOS, one

from lifemask.cli.client import Api
from lifemask.cli.eventlog import EventLog
from lifemask.cli.journey import photos_in
from lifemask.cli.portraits import draw_album
from lifemask.contracts import ModelReady, RunAccepted, new_id
from lifemask.contracts.signing import verify
from lifemask.custody import Reader
from lifemask.custody.envelopes import read_envelope, write_envelope
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import DATASET, STEPS, TRAINING, UPLOAD, VALIDATION, WEIGHTS, AnyStep
from lifemask.keys.files import Trust
from lifemask.objects import keys
from lifemask.objects.local import LocalObjects
from lifemask.testkit.events import an_event
from lifemask.testkit.keys import signed, test_keys

GOAL: Final = 0.05
ROUNDS: Final = 5
REPEATS: Final = 30
GATES: Final[tuple[AnyStep, ...]] = (UPLOAD, VALIDATION, DATASET, TRAINING, WEIGHTS)
"""What is opened: by image-validator, packager, trainer before paying and before sealing the weights, publisher."""
SERVICES: Final = 6
MB: Final = 1_000_000


class Files:
    """A finished run's custody, in the store of the stack that made it."""

    def __init__(self, objects: LocalObjects, trust: Trust, user: str, run: str) -> None:
        self.objects, self.user, self.run = objects, user, run
        self.reader = Reader(objects, trust)
        self.digests: dict[str, str] = {}
        self.payloads: list[bytes] = []

    async def load(self) -> None:
        """Reads all six statements."""
        for step in STEPS:
            key = keys.statement(self.user, self.run, step.position, step.name, 1)
            sealed = read_envelope(step, await self.objects.get(key, limit=MB))
            self.digests[step.name] = digest_of(sealed.payload)
            self.payloads.append(sealed.payload)

    async def open_gates(self) -> None:
        """As the five gates do."""
        now = datetime.now(UTC)
        for step in GATES:
            await self.reader.open(step, self.digests[step.name], self.user, self.run, seen=now)

    async def write(self, folder: Path) -> None:
        """Signs and writes the six statements into another store."""
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            store, signer = LocalObjects(Path(fresh)), test_keys().signers["ingest"]
            for step, payload in zip(STEPS, self.payloads, strict=True):
                key = keys.statement(self.user, self.run, step.position, step.name, 1)
                await store.put(key, write_envelope(payload, signer), create_only=True)


async def milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    """Median of many."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


async def events_of(log: EventLog, run_id: str) -> int:
    """How many records the run has from `RunAccepted` on."""
    records = [record for record in await log.read() if record.run_id == run_id]
    accepted = next(record.time for record in records if record.type == RunAccepted.ce_type)
    return sum(1 for record in records if record.time and accepted and record.time >= accepted)


async def signing() -> tuple[float, float]:
    """Milliseconds to sign one event, and to check and read one."""
    event = an_event(ModelReady)
    record, ring = signed(event), test_keys().keyring

    async def sign_one() -> None:
        signed(event)

    async def check_one() -> None:
        verify(record, ring)

    return await milliseconds(sign_one), await milliseconds(check_one)


async def hashing(folder: Path) -> float:
    """Milliseconds to read and hash a megabyte of an archive from the store."""
    store, size = LocalObjects(folder / "archive"), 60 * MB
    key = keys.archive("bench.user", new_id(), 1)
    await store.put(key, bytes(size))

    async def read() -> None:
        digest = hashlib.sha256()
        async for chunk in store.read(key):
            await asyncio.to_thread(digest.update, chunk)

    return await milliseconds(read) / (size / MB)


async def main() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        await asyncio.to_thread(draw_album, home / "photos", photos=PHOTOS, unfit=0)
        photos = photos_in(home / "photos")
        async with embedded(home / "data", None, **AT_ONCE) as machine:
            assert machine.app_key is not None
            async with Api(machine.url, machine.app_key) as api:
                await one(machine, api, photos, 0)
                found = [await one(machine, api, photos, number) for number in range(1, ROUNDS + 1)]
            run_id = found[-1][0]
            said = await events_of(EventLog(machine.kafka, machine.topic_prefix), run_id)
            objects = LocalObjects(home / "data" / "objects")
            files = Files(objects, Trust(home / "data" / "keys"), f"{machine.app}.bench-{ROUNDS}", run_id)
            await files.load()
            opened, written = await milliseconds(files.open_gates), await milliseconds(lambda: files.write(home))
        sign, check = await signing()
        per_mb = await hashing(home)
    whole = statistics.median(seconds for _, _, seconds in found) * 1000
    events = said * (sign + SERVICES * check)
    return [
        Row(
            what=f"custody of a run of {PHOTOS} photos",
            measured=opened + written + events,
            unit="ms",
            floor=whole,
            against="submit → ModelReady",
            most=GOAL,
            facts={
                "gates_ms": round(opened, 2),
                "statements_ms": round(written, 2),
                "events": said,
                "sign_ms": round(sign, 3),
                "check_ms": round(check, 3),
            },
        ),
        Row(what="the archive read and hashed before paying, per MB", measured=per_mb, unit="ms"),
    ]


if __name__ == "__main__":
    measure(main)
