"""A child for supervisor tests: writes what happens to it into a journal, and behaves as its options say.

python actor.py NAME JOURNAL [fail:CODE:TIMES] [gift] [stubborn] [offspring] [once] [silent]
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from lifemask.runtime.watch import WATCH_FD_VARIABLE, die_with_parent

STARTED_BY_HAND = "LIFEMASK_TEST_GIFT"


def main(name: str, journal: Path, options: Sequence[str]) -> int:
    def note(what: str) -> None:
        with journal.open("a") as file:
            file.write(f"{name} {what}\n")

    die_with_parent(int(os.environ[WATCH_FD_VARIABLE]))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in options else lambda *_: stop.set())
    starts = journal.read_text().split("\n").count(f"{name} started") if journal.exists() else 0
    print(f"{name} says hello", flush=True)  # noqa: T201  what the test reads
    note("started")
    note(f"was given {os.environ.get(STARTED_BY_HAND, 'nothing')}")
    for option in options:
        if option.startswith("fail:"):
            code, times = map(int, option.split(":")[1:])
            if starts < times:
                return code
    if "offspring" in options:
        note(f"offspring {subprocess.Popen(['sleep', '60']).pid}")
    if "once" in options:
        note("done")
        return 0
    if "silent" not in options or starts > 0:
        note("ready")
    stop.wait()
    note("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
