"""`make bench`, or `python -m bench [--json] [NAME …]`: measures one thing after the other, then prints a table.

Every floor is measured in the same run, so the ratios hold on any machine. A missed goal is a result and no error: the
exit code is 1 only when something could not be measured. What needs servers that cannot run here (`real`, `slow_store`)
is left out and named, unless it was asked for.
"""

import argparse
import asyncio
import importlib
import json
import sys
import traceback
from typing import Final

from bench.row import Row, show
from tools.servers import CannotRun

ALL: Final = (
    "validate",
    "archive",
    "events",
    "neighbours",
    "flood",
    "slow_store",
    "whole_run",
    "custody",
    "cold_start",
    "stored",
    "real",
)
MORE: Final = ("crowd", "audit")
"""Modules of this folder, each with a `main` that returns rows; `crowd` and `audit` take minutes: only when named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Lifemask against floors.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of: {', '.join(ALL + MORE)} (default: all but the last two)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line per figure, with all details")
    options = parser.parse_args()
    if unknown := set(options.names) - {*ALL, *MORE}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(ALL + MORE)}")
    rows, failed = list[Row](), list[str]()
    for name in options.names or ALL:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            found: list[Row] = asyncio.run(importlib.import_module(f"bench.{name}").main())
        except CannotRun as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr, flush=True)
            if options.names:
                failed.append(name)
            continue
        except Exception:  # noqa: BLE001  the others are still to be measured
            traceback.print_exc()
            failed.append(name)
            continue
        rows += found
        if options.json:
            for row in found:
                print(json.dumps(row.as_fields(), ensure_ascii=False), flush=True)
    if not options.json:
        show(rows)
    for name in failed:
        print(f"{name} could not be measured", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
