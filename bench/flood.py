"""What one flooding user costs all others of the same app: their p95 at the API with and without the flood.

    python -m bench.flood

Ingest as a process, with the embedded Kafka and PostgreSQL and a store in a folder. Twenty users ask for their runs and
upload photos of 20 kB, forty calls a second together; then again while another one, from a process of its own, sends
10,000 requests with the same key, as fast as sixteen connections get answers. Goal: the others' p95 at most twice that
of quiet. The flood's client takes CPU of the same machine; with more than two cores it would cost the others less.
"""

import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from bench.machine import embedded
from bench.play import photo
from bench.row import Row, measure

from lifemask.contracts import new_id

USERS: Final = 20
PER_SECOND: Final = 40
SECONDS: Final = 8
REQUESTS: Final = 10_000
CONNECTIONS: Final = 16
SIZE: Final = 20_000
A_DRAFT: Final = 8
"""Photos in one draft, the same beside the flood as when quiet; then the next one is begun."""
GOAL: Final = 2.0
KEPT: Final = frozenset({"postgres", "kafka", "ingest"})


@dataclass
class Others:
    """Everybody but the flooder."""

    http: httpx.AsyncClient
    answers: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    """Photos that were not received."""
    _drafts: dict[tuple[str, int], str] = field(default_factory=dict)
    _sent: int = 0

    async def p95(self, until: asyncio.Event | None = None) -> float:
        """95th percentile of their calls (ms) during some seconds, or for as long as the flood goes on."""
        found: list[float] = []
        began, number, calls = time.perf_counter(), 0, []
        while (time.perf_counter() - began < SECONDS) if until is None else not until.is_set():
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
            calls.append(asyncio.create_task(self._call(f"quiet{number % USERS}", number // USERS, found)))
            number += 1
        await asyncio.gather(*calls)
        return sorted(found)[int(len(found) * 0.95)] * 1000

    async def _call(self, user: str, turn: int, found: list[float]) -> None:
        runs, draft = f"/v1/users/{user}/runs", (user, turn // (2 * A_DRAFT))
        if draft not in self._drafts:
            answer = await self.http.post(runs, json={"name": "Bench"}, headers={"Idempotency-Key": new_id()})
            self._drafts[draft] = answer.json()["id"]
        began = time.perf_counter()
        if turn % 2:
            answer = await self.http.get(runs)
        else:
            self._sent += 1
            files = [("photos", ("a.jpg", photo(f"{user} {self._sent}", SIZE)))]
            answer = await self.http.post(f"{runs}/{self._drafts[draft]}/photos", files=files)
            self.refused += any(each["status"] != "received" for each in answer.json().get("results", [{"status": ""}]))
        found.append(time.perf_counter() - began)
        self.answers[answer.status_code] += 1


async def flood(url: str, key: str) -> Counter[int]:
    """All requests of one user; how often each status was answered."""
    answers, left = Counter[int](), iter(range(REQUESTS))
    limits = httpx.Limits(max_connections=CONNECTIONS)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60, trust_env=False) as http:

        async def one() -> None:
            for _ in left:
                answers[(await http.get("/v1/users/flooder/runs")).status_code] += 1

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return answers


async def main() -> list[Row]:
    """The others' p95 quiet and beside the flood, ms."""
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        async with embedded(Path(folder) / "data") as machine:
            await machine.supervisor.stop_children(set(machine.supervisor.pids) - KEPT)
            headers = {"Authorization": f"Bearer {machine.app_key}"}
            async with httpx.AsyncClient(base_url=machine.url, headers=headers, timeout=60, trust_env=False) as http:
                others = Others(http)
                await others.p95()  # plans and caches are warm
                quiet = await others.p95()
                over = asyncio.Event()
                began = time.perf_counter()
                flooding = asyncio.create_task(_flooding(machine.url, machine.app_key, over))
                beside = await others.p95(over)
                flooder, seconds = await flooding, time.perf_counter() - began
    return [
        Row(
            what=f"others' p95 beside a flood of {REQUESTS:,} requests",
            measured=round(beside, 1),
            unit="ms",
            floor=round(quiet, 1),
            against="p95 when quiet",
            most=GOAL,
            facts={
                "others": dict(others.answers),
                "photos_refused": others.refused,
                "flooder": flooder,
                "flood_seconds": round(seconds, 1),
            },
        )
    ]


async def _flooding(url: str, key: str | None, over: asyncio.Event) -> dict[str, int]:
    if key is None:
        raise RuntimeError("there is no app")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.flood", url, key, stdout=PIPE)
    out, _ = await process.communicate()
    over.set()
    found: dict[str, int] = json.loads(out)
    return found


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(asyncio.run(flood(*sys.argv[1:]))))
    else:
        measure(main)
