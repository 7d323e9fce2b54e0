"""Measurements on a real Kafka and a real S3 on this machine: whole runs, and one service in one and in two processes.

`python -m bench.real`. Needs what `make kafka` and `make s3` need (Java 17, Maven, Go the first time).
"""

import asyncio
import tempfile
from pathlib import Path

from bench import processes, whole_run
from bench.row import Row, measure
from tools.kafka import fetch, running_kafka
from tools.s3 import gateway, running_s3


def require() -> None:
    """Makes sure that nothing is missing. Raises CannotRun, which says what is."""
    fetch()
    gateway()


async def main() -> list[Row]:
    """Rows of both. Raises CannotRun."""
    await asyncio.to_thread(require)
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        async with running_kafka(home / "kafka") as kafka:
            rows = await processes.measured(kafka)
            async with running_s3(home / "s3") as s3:
                named = {"LIFEMASK_KAFKA": kafka, **s3.environment()}
                rows += await whole_run.measured(", real Kafka and S3", named)
    return rows


if __name__ == "__main__":
    measure(main)
