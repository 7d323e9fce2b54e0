"""`python -m lifemask.sandbox --data DIR`: the sandbox as a process.

Prints one JSON line with every URL once it serves. Exit codes: 0 stopped, 2 wrong usage, 3 refused to start.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from lifemask.runtime.watch import WATCH_FD_VARIABLE, die_with_parent
from lifemask.sandbox.server import open_sandbox
from lifemask.sandbox.settings import RealTokenError, SandboxSettings, refuse_real_tokens
from lifemask.sandbox.store import DataDirectoryTakenError

REFUSED = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    ready_file, watch_fd = options.pop("ready_file"), options.pop("watch_fd")
    try:
        refuse_real_tokens(os.environ)
        settings = SandboxSettings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        parser.error("; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()))
    except RealTokenError as error:
        return _refuse(error)
    die_with_parent(watch_fd, grace=3.0)
    gc.freeze()  # what is loaded stays: collecting it at the end would delay the stop
    try:
        asyncio.run(_serve(settings, ready_file))
    except (DataDirectoryTakenError, OSError) as error:
        return _refuse(error)
    return 0


async def _serve(settings: SandboxSettings, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_sandbox(settings) as urls:
        line = json.dumps(urls.as_dict())
        if ready_file is not None:
            fresh = ready_file.with_name(f"{ready_file.name}.new")
            fresh.write_text(line + "\n")
            fresh.replace(ready_file)
        print(line, flush=True)  # noqa: T201 - the supervisor reads it
        await stop.wait()


def _refuse(error: Exception) -> int:
    print(f"lifemask sandbox: {error}", file=sys.stderr)  # noqa: T201 - the message for whoever started it
    return REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lifemask.sandbox",
        description="Stand-ins for Replicate, the Hugging Face Hub and a mail server.",
        epilog="Each flag is also an environment variable: LIFEMASK_SANDBOX_ and its name in capitals.",
    )
    for name, field in SandboxSettings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=field.description)
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="written with the JSON line once it serves")
    parser.add_argument(
        "--watch-fd",
        type=int,
        metavar="N",
        default=os.environ.get(WATCH_FD_VARIABLE),
        help=f"ends when this inherited pipe reaches its end (default: {WATCH_FD_VARIABLE})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
