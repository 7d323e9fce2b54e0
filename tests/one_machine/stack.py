"""The embedded parts and an actor under a supervisor, as a program: prints the pids, then runs until it is ended.

python -m tests.one_machine.stack FOLDER
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.one_machine.household import Journal

from lifemask.cli.parts import embedded_broker, embedded_postgres
from lifemask.cli.supervisor import Console, Interrupted, supervised


async def run(folder: Path) -> int:
    children = (
        embedded_postgres(folder / "postgres", folder / "run", fsync=False),
        embedded_broker({"runs": 2}, folder / "run"),
        Journal(folder).child("service", after=("postgres", "kafka"), group=3),
    )
    try:
        async with supervised(children, Console(folder / "logs", None)) as supervisor:
            print(json.dumps(supervisor.pids), flush=True)  # noqa: T201  what the test reads
            await supervisor.wait_failed()
            return 1
    except Interrupted:
        return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run(Path(sys.argv[1]))))
