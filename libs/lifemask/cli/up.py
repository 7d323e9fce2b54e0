"""`lifemask up`: the whole system on this machine."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, needs_extra, perform
from lifemask.cli.stops import Code, Failed
from lifemask.cli.whereabouts import DATA
from lifemask.runtime.watch import die_with_parent

DataHere = Annotated[Path, typer.Option("--data", help="Where everything is kept; made when missing.")]
WatchFd = Annotated[int | None, typer.Option("--watch-fd", hidden=True, help="Ends when this inherited pipe does.")]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the API; 0 takes a free one.")]


def up(
    data: DataHere = DATA,
    port: PortOption = 0,
    as_json: AsJson = False,
    debug: Debug = False,
    watch_fd: WatchFd = None,
) -> None:
    """Run the whole system on this machine until Ctrl-C; whatever the environment does not name is embedded."""
    die_with_parent(watch_fd, grace=12.0)
    perform(lambda out: _up(out, data, port), as_json=as_json, debug=debug)


async def _up(out: Out, data: Path, port: int) -> Code:
    try:
        from lifemask.cli.chosen import Parts
        from lifemask.cli.machine import running
        from lifemask.cli.supervisor import Console, Interrupted
    except ImportError as error:
        raise needs_extra(error, "one-machine") from None
    from lifemask.cli.addresses import address_rows
    from lifemask.cli.tables import facts_table

    Parts.of(os.environ)  # complains before anything is made
    log = sys.stderr if out.as_json else sys.stdout
    console = Console(data / "logs", log)
    try:
        async with running(os.environ, data, console, port=port) as machine:
            out.show()
            out.show(facts_table(address_rows(machine)))
            out.show("\n  Ctrl-C stops everything. Try: [bold]lifemask train DIR --user me --trigger-word TOK[/]\n")
            out.fact("ready", **machine.for_people())
            failure = await machine.supervisor.wait_failed()
            raise Failed(f"A part cannot go on: {failure}", f"The logs are in {machine.data / 'logs'}.")
    except Interrupted:
        out.fact("stopped")
        return Code.DONE
    finally:
        console.close()
