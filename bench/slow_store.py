"""What a slow store costs those who need nothing of it: their p95 at the API, alone and beside uploads to it.

    python -m bench.slow_store

Ingest as a process, with the embedded Kafka and PostgreSQL, and versitygw behind a proxy. Twenty users ask for their
runs, forty times a second together; then again while a hundred others, from a process of their own, send a photo of
20 kB every five seconds each, first to a quick store and then to one behind a proxy that lets half a second pass before
each piece that the store says or is told. More uploads are under way then than ingest has places for, so that it must
refuse some (429 with Retry-After). Goal: p95 of those who ask at most twice that of quiet. The senders' client takes
CPU of the same machine. Needs Go.
"""

import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psutil  # type: ignore[import-untyped]  # brings no types
from bench.machine import embedded, keep_only
from bench.play import photo
from bench.row import Row, beside_quiet, measure, p95_ms
from tools.proxy import Fault, proxies
from tools.s3 import gateway, running_s3

from lifemask.cli.machine import Machine
from lifemask.contracts import new_id

ASKERS: Final = 20
PER_SECOND: Final = 40
SECONDS: Final = 15
SENDERS: Final = 100
PAUSE: Final = 5.0
"""Seconds from one photo of a sender to the next, if the first was answered by then."""
SIZE: Final = 20_000
LATENCY: Final = 0.5
"""Seconds before each piece, each way."""
GOAL: Final = 2.0
Answers = Counter[int]


async def p95(http: httpx.AsyncClient, answers: Answers) -> float:
    """95th percentile (ms) of listing runs, some seconds long."""
    found: list[float] = []

    async def ask(number: int, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        answer = await http.get(f"/v1/users/asker{number % ASKERS}/runs")
        found.append(time.perf_counter() - began)
        answers[answer.status_code] += 1

    start = time.perf_counter()
    await asyncio.gather(*(ask(number, start + number / PER_SECOND) for number in range(PER_SECOND * SECONDS)))
    return p95_ms(found)


async def send(url: str, key: str, name: str) -> None:
    """A hundred users send photos until this process is ended; tells each status on a line."""
    limits = httpx.Limits(max_connections=SENDERS)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False, limits=limits) as http:

        async def one(user: str, start: float) -> None:
            runs = f"/v1/users/{user}/runs"
            draft = await http.post(runs, json={"name": "Bench"}, headers={"Idempotency-Key": new_id()})
            photos, number = f"{runs}/{draft.json()['id']}/photos", 0
            while True:
                await asyncio.sleep(max(0.0, start + number * PAUSE - time.perf_counter()))
                number += 1
                answer = await http.post(photos, files=[("photos", ("a.jpg", photo(f"{user} {number}", SIZE)))])
                print(answer.status_code, flush=True)
                await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

        start = time.perf_counter()
        await asyncio.gather(*(one(f"{name}{number}", start + number * PAUSE / SENDERS) for number in range(SENDERS)))


async def main() -> list[Row]:
    """The askers' p95, ms. Raises CannotRun."""
    await asyncio.to_thread(gateway)
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        async with running_s3(home / "s3") as s3:
            with proxies(store=s3.endpoint.removeprefix("http://")) as made:
                store = made["store"]
                named = replace(s3, endpoint=f"http://{store.address}").environment()
                async with embedded(home / "data", named) as machine:
                    await keep_only(machine, "postgres", "kafka", "ingest", "sandbox")
                    headers = {"Authorization": f"Bearer {machine.app_key}"}
                    async with httpx.AsyncClient(
                        base_url=machine.url, headers=headers, timeout=60, trust_env=False
                    ) as http:
                        await p95(http, Answers())  # plans and caches are warm
                        rows = [await beside(machine, http, "quick", None)]
                        store.both(Fault(latency=LATENCY))
                        return [*rows, await beside(machine, http, "slow", GOAL)]


async def beside(machine: Machine, http: httpx.AsyncClient, store: str, goal: float | None) -> Row:
    """First without and then with the senders at work."""
    quiet, asked = await p95(http, Answers()), Answers()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.slow_store", "send", stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps([machine.url, machine.app_key, store]).encode())
    process.stdin.write_eof()
    try:
        await asyncio.sleep(4 * PAUSE)  # everybody has begun, every place is taken, and the first ones are done
        measured = await p95(http, asked)
        memory = psutil.Process(machine.supervisor.pids["ingest"]).memory_info().rss
    finally:
        process.kill()
    sent = Counter((await process.communicate())[0].decode().split())
    what = f"p95 of those who need no store, beside uploads to a {store} one"
    facts = {"asked": dict(asked), "sent": dict(sent), "ingest_mb": round(memory / 1e6)}
    return beside_quiet(what, measured, quiet, goal, facts)


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(send(*json.load(sys.stdin)))
    else:
        measure(main)
