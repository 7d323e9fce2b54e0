"""Operators' commands beside a running system, as processes of their own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any, Final

from tests.system.stack import Stack

from lifemask.cli.chosen import isolated

REASON: Final = "The photos were another person's."


async def command(stack: Stack, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and JSON lines of `lifemask …` beside the running system."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lifemask.cli.main", *arguments, "--json", "--data", str(stack.data)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=isolated(os.environ),
    )
    out, problem = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in problem, problem.decode()
    return process.returncode, [json.loads(line) for line in out.splitlines()]


async def revoke(stack: Stack, model: str, *more: str, reason: str = REASON) -> tuple[int, list[dict[str, Any]]]:
    return await command(stack, "revoke", model, "--reason", reason, *more)
