"""`lifemask notifications`: what people and apps were told, and telling it again."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from lifemask.cli.installation import Installation
from lifemask.cli.operating import WAIT, Wait, Yes, answered, operator_name, operators_database
from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed, WrongUsage
from lifemask.cli.whereabouts import DATA, DataOption

if TYPE_CHECKING:
    from lifemask.bus.rows import Connection

notifications = typer.Typer(help="What people and apps were told of their runs.", no_args_is_help=True)

_NOTIFIER: Final = "notifier"
_RESEND: Final = "lifemask.notifier.resend-ordered.v1"
_SHORTEST: Final = 8
"""Characters of an id that may stand for all 64."""
_SHOWN: Final = 12
"""Characters of an id in a table."""
_MOST: Final = 1000
"""Lines of a list."""


class State(StrEnum):
    """Of a notification."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    GAVE_UP = "gave_up"


_UNTOLD: Final = [State.PENDING, State.GAVE_UP]
RunId = Annotated[str | None, typer.Option("--run", help="Of this run only.")]
States = Annotated[list[State] | None, typer.Option("--state", help="In this state; default: pending and gave_up.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, or how they begin.", show_default=False)]


@dataclass(frozen=True, slots=True)
class Note:
    """One notification as the notifier keeps it."""

    id: str
    user_id: str
    run_id: str
    outcome: str
    channel: str
    state: str
    tries: int
    since: datetime
    tried_at: datetime | None
    why: str | None
    """Of one that was not delivered: `refused` (410, or no such mailbox) and the like."""


@notifications.command("list")
def list_notifications(
    *,
    run: RunId = None,
    state: States = None,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List notifications, the newest first: those of a run, or those that nobody has got yet."""

    async def work(out: Out) -> Code:
        async with operators_database(Installation.find(data)) as connection:
            found = await _find(connection, run, state or (None if run else _UNTOLD))
        for note in found:
            out.fact("notification", **asdict(note))
        out.show(_table(found) if found else "None.")
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


@notifications.command()
def resend(
    ids: Ids = None,
    *,
    run: RunId = None,
    yes: Yes = False,
    wait: Wait = WAIT,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Try notifications again now, each under its own id, so that a receiver can tell a repetition."""

    async def work(out: Out) -> Code:
        if bool(ids) == bool(run):
            raise WrongUsage("Which notifications?", "Name their ids, or --run for all of a run.")
        async with operators_database(Installation.find(data)) as connection:
            if run:
                found = await _find(connection, run, None)
            else:
                found = [await _named(connection, each) for each in ids or ()]
            for note in found:
                out.fact("resend", ordered=yes, **asdict(note))
                out.show(
                    Text(f"  ▸ {note.id[:_SHOWN]} {note.channel}, {note.state}: tried again now, under the same id")
                )
            if not yes:
                out.show("\nNothing was done yet. Do it: the same command with --yes.")
                return Code.DONE
            done = [await _resend(out, connection, note, wait) for note in found]
        return Code.DONE if all(done) else Code.FAILED

    perform(work, as_json=as_json, debug=debug)


async def _resend(out: Out, connection: "Connection", note: Note, wait: float) -> bool:
    from lifemask.bus.ordering import Told, tell
    from lifemask.contracts import new_id

    order = f"resend/{new_id()}"
    told = Told(_NOTIFIER, _RESEND, note.user_id, note.run_id, {"notification": note.id, "order": order})
    await tell(connection, told, order, operator_name())
    outcome = await answered(connection, _NOTIFIER, order, wait)
    out.fact("done", id=note.id, run=note.run_id, outcome=outcome)
    out.show(f"  {note.id[:_SHOWN]}: {outcome.replace('_', ' ')}")
    return not outcome.startswith("refused")


async def _named(connection: "Connection", id: str) -> Note:
    if len(id) < _SHORTEST or not set(id) <= set("0123456789abcdef"):
        raise WrongUsage(
            f"{id!r} is no notification's id.",
            f"At least its first {_SHORTEST} characters: `lifemask notifications list`.",
        )
    found = await _read(connection, "id like $1 || '%'", id)
    if len(found) != 1:
        raise Failed(f"{len(found)} notifications have an id that begins with {id}.", "Write more of it.")
    return found[0]


async def _find(connection: "Connection", run: str | None, states: Sequence[State] | None) -> list[Note]:
    found = await _read(
        connection,
        "($1::text is null or run_id = $1) and ($2::text[] is null or state = any($2))",
        run,
        [state.value for state in states] if states else None,
    )
    if run and not found:
        raise Failed(f"The notifier knows nothing to tell of a run {run}.")
    return found


async def _read(connection: "Connection", condition: str, *values: object) -> list[Note]:
    """Of all users: the account must be one that row security does not bind."""
    from lifemask.bus.roles import schema_of

    await connection.execute(f"set search_path to {schema_of(_NOTIFIER)}; set row_security to off")
    columns = ", ".join(Note.__slots__)
    rows = await connection.fetch(
        f"select {columns} from notification where {condition} order by since desc limit {_MOST}",  # noqa: S608  constants
        *values,
    )
    return [Note(**dict(row)) for row in rows]


def _table(found: Sequence[Note]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("notification", no_wrap=True, min_width=_SHOWN)
    for column in ("since", "what", "channel", "state", "why", "tries", "run", "user"):
        table.add_column(column, overflow="fold")
    for note in found:
        table.add_row(
            Text(note.id[:_SHOWN], style="bold"),
            note.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
            Text(note.outcome.removeprefix("lifemask.").rpartition(".")[0]),
            note.channel,
            Text(note.state, style="red" if note.state == State.GAVE_UP else ""),
            Text((note.why or "").replace("_", " ")),
            str(note.tries),
            Text(note.run_id),
            Text(note.user_id),
        )
    return table
