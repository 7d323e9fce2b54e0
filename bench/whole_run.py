"""From submit to `ModelReady` with 20 photos and a training of zero length, through everything: `lifemask up`'s six
services and embedded parts, the HTTP API as an app uses it, and the fact as a subscriber on Kafka gets it.

`python -m bench.whole_run`. Median of several runs of one user each, one after the other, after one that warms up. The
photos are judged while they come, before submit, as for anybody who waits for the verdicts. Goal: 3 s.
"""

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.machine import embedded
from bench.row import Row, measure

from lifemask.cli.client import Api
from lifemask.cli.eventlog import EventLog, Logged
from lifemask.cli.journey import batches, photos_in
from lifemask.cli.machine import Machine
from lifemask.cli.portraits import draw_album
from lifemask.contracts import (
    DatasetSealed,
    ModelReady,
    PhotosValidated,
    RunAccepted,
    TrainingStarted,
    TrainingSucceeded,
    new_id,
)

GOAL: Final = 3.0
ROUNDS: Final = 7
PHOTOS: Final = 20
PATIENCE: Final = 60.0
REQUEST: Final = {"name": "Bench", "trigger_word": "TOK"}
AT_ONCE: Final = {"LIFEMASK_SANDBOX_QUEUE_SECONDS": "0", "LIFEMASK_SANDBOX_TRAINING_SECONDS": "0"}
HOPS: Final = tuple(
    event.ce_type
    for event in (RunAccepted, PhotosValidated, DatasetSealed, TrainingStarted, TrainingSucceeded, ModelReady)
)


async def draft(api: Api, user: str, photos: list[Path]) -> tuple[str, float]:
    """A draft whose photos are all judged usable: its run id, and the seconds that uploading and judging took."""
    began = time.perf_counter()
    run = await api.create_run(user, REQUEST, idempotency_key=new_id())
    await asyncio.gather(*(api.upload(user, run.id, batch) for batch in batches(photos)))
    async with asyncio.timeout(PATIENCE):
        while (counts := (await api.run(user, run.id)).photos).pending:  # noqa: ASYNC110  the API tells by being asked
            await asyncio.sleep(0.1)
    assert counts.usable == PHOTOS, counts
    return run.id, time.perf_counter() - began


async def ready(log: EventLog, run_id: str, listening: asyncio.Event) -> float:
    """The moment at which a subscriber has the run's `ModelReady`."""
    stream = log.follow()
    waiting = asyncio.ensure_future(anext(stream))
    listening.set()
    try:
        async with asyncio.timeout(PATIENCE):
            while (event := await waiting).run_id != run_id or event.type != ModelReady.ce_type:
                waiting = asyncio.ensure_future(anext(stream))
        return time.perf_counter()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await stream.aclose()


async def one(machine: Machine, api: Api, photos: list[Path], number: int) -> tuple[str, float, float]:
    """Run id, seconds of upload with verdicts, seconds from submit to `ModelReady`."""
    user = f"bench-{number}"
    run_id, before = await draft(api, user, photos)
    listening = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(ready(EventLog(machine.kafka, machine.topic_prefix), run_id, listening))
        await listening.wait()
        await asyncio.sleep(0.3)  # its consumer asks for the ends of the topics
        began = time.perf_counter()
        await api.submit(user, run_id)
    return run_id, before, reader.result() - began


def hops(events: list[Logged], runs: set[str]) -> dict[str, float]:
    """Median milliseconds between one fact of a run and the next, by the later one's type."""
    taken = defaultdict[str, list[float]](list)
    for run_id in runs:
        facts = {event.type: event for event in events if event.run_id == run_id}
        for earlier, later in pairwise(HOPS):
            before, after = facts[earlier], facts[later]
            assert before.time is not None
            assert after.time is not None
            taken[after.short_type].append((after.time - before.time).total_seconds() * 1000)
    return {name: round(statistics.median(values)) for name, values in taken.items()}


async def measured(what: str = "", named: Mapping[str, str] | None = None) -> list[Row]:
    """Seconds from submit to the fact; in the details where they went. `named`: real parts, not embedded ones."""
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        await asyncio.to_thread(draw_album, home / "photos", photos=PHOTOS, unfit=0)
        photos = photos_in(home / "photos")
        async with embedded(home / "data", named, **AT_ONCE) as machine:
            assert machine.app_key is not None
            async with Api(machine.url, machine.app_key) as api:
                await one(machine, api, photos, 0)
                found = [await one(machine, api, photos, number) for number in range(1, ROUNDS + 1)]
            events = await EventLog(machine.kafka, machine.topic_prefix).read()
    seconds = [taken for _, _, taken in found]
    return [
        Row(
            what=f"submit → ModelReady, {PHOTOS} photos, no training time{what}",
            measured=statistics.median(seconds),
            unit="s",
            most=GOAL,
            facts={
                "fastest_s": round(min(seconds), 2),
                "slowest_s": round(max(seconds), 2),
                "upload_and_verdicts_s": round(statistics.median(before for _, before, _ in found), 2),
                "hops_ms": hops(events, {run_id for run_id, _, _ in found}),
            },
        )
    ]


async def main() -> list[Row]:
    """On embedded parts."""
    return await measured()


if __name__ == "__main__":
    measure(main)
