"""What one user's slow job costs everybody else: the other users' latency with and without it.

    python -m bench.neighbours

Forty users send 200 messages a second for some seconds; then again, while another user has a job of 8 s. Latency is
from the moment a record is sent to the moment its handler has run. Goal: the others' p95 at most twice that of quiet.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from bench.events import a_bus
from bench.row import Row, beside_quiet, measure, p95_ms

from lifemask.bus.inbound import Raw
from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.service import Service
from lifemask.contracts import PhotoJudged, new_id
from lifemask.testkit.keys import signed

USERS: Final = 40
PER_SECOND: Final = 200
SECONDS: Final = 6
JOB: Final = 8.0
GOAL: Final = 2.0
SLOW: Final = "bench.slow"
EXAMPLE: Final = PhotoJudged.example()


class Latencies:
    """Knows when each record was sent, and how long it took."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self.found: list[float] = []
        self.busy = asyncio.Event()

    async def look(self, event: PhotoJudged) -> Sequence[Outcome]:
        if event.user_id == SLOW:
            self.busy.set()
            await asyncio.sleep(JOB)
            self.busy.clear()
        else:
            self.found.append(time.perf_counter() - self._sent[event.photo_id])
        return []

    def record(self, user: str) -> Raw:
        event = EXAMPLE.model_copy(update={"user_id": user, "run_id": new_id(), "photo_id": new_id()})
        self._sent[event.photo_id] = time.perf_counter()
        packed = signed(event)
        return Raw(packed.topic, "", packed.key, packed.value, packed.headers)


async def p95(service: Service, latencies: Latencies) -> float:
    """95th percentile of the others' latency (ms) while they send for some seconds."""
    latencies.found.clear()
    began = time.perf_counter()
    for number in range(PER_SECOND * SECONDS):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
        await service.intake.store([latencies.record(f"bench.{number % USERS}")])
    async with asyncio.timeout(30):
        while len(latencies.found) < PER_SECOND * SECONDS:  # noqa: ASYNC110  the last few are on their way
            await asyncio.sleep(0.01)
    return p95_ms(latencies.found)


async def main() -> list[Row]:
    """The others' p95 quiet and beside the job, ms."""
    latencies = Latencies()
    async with a_bus() as bus:
        service = bus.serve([on(PhotoJudged, latencies.look)])
        loops = [asyncio.create_task(loop()) for loop in (service.worker.run, service.worker.keep_leases)]
        await p95(service, latencies)  # plans and caches are warm
        quiet = await p95(service, latencies)
        await service.intake.store([latencies.record(SLOW)])
        await latencies.busy.wait()
        beside = await p95(service, latencies)
        whole = latencies.busy.is_set()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    if not whole:
        raise RuntimeError("the job was over before the others were")
    return [beside_quiet(f"others' p95 beside a job of {JOB:g} s", beside, quiet, GOAL, {})]


if __name__ == "__main__":
    measure(main)
