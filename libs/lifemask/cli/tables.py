"""What commands show on a terminal, as rich tables. Words from elsewhere are never read as markup."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lifemask.cli.eventlog import Logged
from lifemask.cli.stages import Bar, State
from lifemask.cli.views import Run

_COLOUR: Final = {
    "ready": "green",
    "rejected": "yellow",
    "failed": "red",
    "canceled": "dim",
    "draft": "cyan",
}
_MARKS: Final = {
    State.WAITING: Text("·", style="dim"),
    State.WORKING: Text("▸", style="bold cyan"),
    State.DONE: Text("✓", style="bold green"),
    State.ENDED: Text("✗", style="bold red"),
}


def verdict_line(name: str, *, usable: bool, why: str = "") -> Text:
    """One photo's verdict."""
    mark = Text("✓ ", style="green") if usable else Text("✗ ", style="red")
    return Text.assemble("  ", mark, Text(f"{name:<24}"), Text(f" {why}" if why else "", style="yellow"))


def bars_table(bars: Sequence[Bar]) -> Table:
    """The stages of a run."""
    table = Table.grid(padding=(0, 1))
    for bar in bars:
        finished = bar.state is State.DONE
        table.add_row(
            Text("  "),
            _MARKS[bar.state],
            Text(f"{bar.label:<8}", style="" if bar.state is State.WORKING else "dim"),
            ProgressBar(total=1.0, completed=bar.share, width=32, complete_style="cyan", finished_style="green"),
            Text(f"{bar.seconds:.1f} s" if finished and bar.seconds is not None else "", style="dim"),
            Text(bar.note, style="dim" if finished else ""),
        )
    return table


def run_header(run: Run) -> RenderableType:
    """What is happening, whose move it is, and what to do now."""
    colour = _COLOUR.get(run.status, "cyan")
    lines = [Text.assemble("  ", (run.status, f"bold {colour}"), f"  {run.summary}")]
    if run.next_step:
        lines.append(Text(f"  {_move(run.whose_move)}{run.next_step}", style="dim"))
    return Group(*lines)


def facts_table(facts: Mapping[str, str]) -> Table:
    """Names and values, one a line; values may be long."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(f"  {name}"), Text(value))
    return table


def runs_table(runs: Iterable[tuple[str, Run]]) -> Table:
    """Runs, each with its user."""
    table = _table("run", "user", "name", "status", "progress", "photos", "cost", "what")
    for user, run in runs:
        cost = run.cost.billed or f"~{run.cost.estimated}" if run.cost else ""
        table.add_row(
            run.id,
            Text(user),
            Text(run.name),
            Text(run.status + (" (delayed)" if run.delayed else ""), style=_COLOUR.get(run.status, "cyan")),
            f"{run.progress} %",
            f"{run.photos.usable}/{run.photos.received}",
            f"${cost}" if cost else "",
            Text(run.summary),
        )
    return table


def events_table(events: Iterable[Logged]) -> Table:
    """The event log, oldest first."""
    table = _table("time", "event", "source", "run", "facts")
    for event in events:
        table.add_row(*event_cells(event))
    return table


def event_cells(event: Logged) -> tuple[Text, Text, Text, Text, Text]:
    """One event as the cells of a row."""
    at = event.time.astimezone().strftime("%H:%M:%S.%f")[:-3] if event.time else "?"
    return (
        Text(at, style="dim"),
        Text(event.short_type, style="bold"),
        Text(event.source.removeprefix("lifemask/"), style="cyan"),
        Text(f"…{event.run_id[-6:]}" if event.run_id else "", style="dim"),
        Text(event.facts_line),
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        wide = column in {"facts", "what", "name"}
        table.add_column(column, no_wrap=not wide, overflow="fold" if wide else "ellipsis")
    return table


def _move(whose: str) -> str:
    return {"you": "Your move: ", "us": "Our move: ", "provider": "The provider's move: "}.get(whose, "")
