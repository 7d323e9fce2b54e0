"""`lifemask events` and `lifemask listen`: the event log, as it is and as it grows."""

import asyncio
import contextlib
from typing import Annotated

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code
from lifemask.cli.whereabouts import DATA, DataOption, Whereabouts

User = Annotated[
    str,
    typer.Option("--user", "-u", envvar="LIFEMASK_USER", help="The user's id: as the app has it, or APP.USER."),
]
SomeUser = Annotated[str | None, typer.Option("--user", "-u", help="Only this user: as the app has it, or APP.USER.")]
SomeRun = Annotated[str | None, typer.Option("--run", help="Only this run.")]
Beginning = Annotated[bool, typer.Option("--from-beginning", help="First everything that is there.")]


def events(
    user: User, run: SomeRun = None, data: DataOption = DATA, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Print one user's event log, all topics from the beginning."""
    perform(lambda out: _events(out, Whereabouts.find(data), user, run), as_json=as_json, debug=debug)


def listen(
    *,
    user: SomeUser = None,
    from_beginning: Beginning = False,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print events as they come, until Ctrl-C."""
    perform(lambda out: _listen(out, Whereabouts.find(data), user, from_beginning), as_json=as_json, debug=debug)


async def _events(out: Out, where: Whereabouts, user: str, run: str | None) -> Code:
    from lifemask.cli.eventlog import EventLog
    from lifemask.cli.tables import events_table

    key = where.on_the_bus(user)
    log = EventLog(where.brokers(), where.topic_prefix)
    found = await log.read(lambda event: event.user_id == key and run in {None, event.run_id})
    for event in found:
        out.fact("event", **event.as_fields())
    out.show(events_table(found) if found else f"No events of {key}.")
    return Code.DONE


async def _listen(out: Out, where: Whereabouts, user: str | None, from_beginning: bool) -> Code:
    from rich.text import Text

    from lifemask.cli.eventlog import EventLog
    from lifemask.cli.tables import event_cells

    key = where.on_the_bus(user) if user else None
    out.show("[dim]Listening; Ctrl-C ends it.[/]")
    log = EventLog(where.brokers(), where.topic_prefix)
    with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is how it is meant to end
        async with contextlib.aclosing(log.follow(from_beginning=from_beginning)) as coming:
            async for event in coming:
                if key in {None, event.user_id}:
                    out.fact("event", **event.as_fields())
                    out.show(Text("  ").join(event_cells(event)))
    return Code.DONE
