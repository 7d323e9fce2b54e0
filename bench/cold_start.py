"""Cold start of `up` on one machine with data from before: from the first line of its own Python to everything ready.

`python -m bench.cold_start`. The floor is what cannot be left out: six new interpreters that import the six services,
as many at once as there are cores. CPU seconds are of the whole, its children included; where other work shares the
machine they say more than the clock. Goal: 4 s.
"""

import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.machine import embedded
from bench.row import Row, measure

from lifemask.cli.plan import SERVICES

GOAL: Final = 4.0
ROUNDS: Final = 5


async def start(home: Path) -> dict[str, Any]:
    """Starts and stops everything in a process of its own, as a person would."""
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.cold_start", str(home)), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the start failed; the logs are in {home / 'logs'}")
    found: dict[str, Any] = json.loads(printed)
    return {"seconds": found["ready_at"] - began, "stop": time.time() - found["stop_at"], "cpu": found["cpu"]}


async def start_here(home: Path) -> None:
    async with embedded(home) as machine:
        ready = time.time()
        cpu = _own_cpu() + sum(map(_cpu_of, machine.supervisor.pids.values()))
        stop = time.time()
    print(json.dumps({"ready_at": ready, "stop_at": stop, "cpu": cpu}))


def _own_cpu() -> float:
    """Seconds of this process and of its children that have ended (`migrate`)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _cpu_of(pid: int) -> float:
    """Seconds of a process that runs."""
    import psutil  # type: ignore[import-untyped]  # brings no types

    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


async def imports() -> tuple[float, float]:
    """Seconds and CPU seconds of importing each service in an interpreter of its own, as many at once as cores."""
    cores = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(package: str) -> None:
        # Without its end: a service does not end when it has started.
        code = f"import os, lifemask.{package}.__main__; os._exit(0)"
        async with cores:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
            if await process.wait():
                raise RuntimeError(f"lifemask.{package} cannot be imported")

    began, before = time.perf_counter(), _own_cpu()
    await asyncio.gather(*map(one, SERVICES))
    return time.perf_counter() - began, _own_cpu() - before


async def main() -> list[Row]:
    """Seconds until ready, and CPU seconds beside those of the imports; medians."""
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        first = await start(home)
        floors, starts = [], []
        for _ in range(ROUNDS):
            floors.append(await imports())
            starts.append(await start(home))
    seconds, cpu = ([each[name] for each in starts] for name in ("seconds", "cpu"))
    floor, floor_cpu = (statistics.median(values) for values in zip(*floors, strict=True))
    return [
        Row(
            what="cold start of up, data there",
            measured=round(statistics.median(seconds), 2),
            unit="s",
            most=GOAL,
            facts={
                "fastest_s": round(min(seconds), 2),
                "slowest_s": round(max(seconds), 2),
                "imports_s": round(floor, 2),
                "first_start_s": round(first["seconds"], 2),
                "stop_s": round(statistics.median(each["stop"] for each in starts), 2),
            },
        ),
        Row(
            what="CPU of a cold start",
            measured=round(statistics.median(cpu), 2),
            unit="s",
            floor=round(floor_cpu, 2),
            against="six services imported",
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(start_here(Path(sys.argv[1])))
    else:
        measure(main)
