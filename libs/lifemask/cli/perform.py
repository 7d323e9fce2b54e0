"""Runs a command's work and turns every end of it into an exit code and a sentence, never a traceback."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from lifemask.cli.out import Out
from lifemask.cli.stops import Code, Missing, Stop

AsJson = Annotated[bool, typer.Option("--json", help="JSON lines even on a terminal.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where a fault happened.")]
Work = Callable[[Out], Awaitable[Code | None]]


def perform(work: Work, *, as_json: bool, debug: bool) -> None:
    """Runs `work` in an event loop and leaves with its exit code."""
    out = Out.choose(as_json=as_json)
    raise typer.Exit(int(_ended(work, out, debug=debug)))


def _ended(work: Work, out: Out, *, debug: bool) -> Code:
    try:
        return asyncio.run(_main(work, out)) or Code.DONE
    except Stop as stop:
        if debug:
            traceback.print_exc()
        out.problem(stop.what, stop.next_step, exit_code=int(stop.code))
        return stop.code
    except KeyboardInterrupt:
        return Code.INTERRUPTED
    except BrokenPipeError:
        return Code.DONE  # whoever read our output has seen enough
    except Exception as error:  # noqa: BLE001  the one place where a fault of ours meets a person
        if debug:
            traceback.print_exc()
        out.problem(f"A fault of ours: {type(error).__name__}: {error}", "Run it again with --debug to see where.")
        return Code.FAILED


async def _main(work: Work, out: Out) -> Code | None:
    return await work(out)


def needs_extra(error: ImportError, extra: str) -> Missing:
    """What to install when a part of this program was left out."""
    return Missing(f"The package {error.name} is not installed.", f"Install it with: pip install 'lifemask[{extra}]'")
