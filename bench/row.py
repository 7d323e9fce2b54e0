"""What a measurement tells: one row, the same for all, so that a table can show them together."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. With a `floor`, measured in the same run, the goal is about the ratio; without one, about the figure.

    A goal is either `most` or `least`; a row without one only tells.
    """

    what: str
    measured: float
    unit: str
    floor: float | None = None
    against: str = ""
    """What the floor is."""
    most: float | None = None
    least: float | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else was measured, for whoever wants to know why."""

    @property
    def ratio(self) -> float | None:
        return None if self.floor is None else self.measured / self.floor

    @property
    def met(self) -> bool | None:
        judged = self.measured if self.ratio is None else self.ratio
        if self.most is not None:
            return judged <= self.most
        return None if self.least is None else judged >= self.least

    @property
    def goal(self) -> str:
        unit = f" {self.unit}" if self.floor is None else ""
        if self.most is not None:
            return f"≤ {self.most:g}{unit}"
        return "" if self.least is None else f"≥ {self.least:g}{unit}"

    def as_fields(self) -> dict[str, Any]:
        """For a JSON line."""
        ratio = None if self.ratio is None else round(self.ratio, 3)
        return {**dataclasses.asdict(self), "ratio": ratio, "goal": self.goal, "met": self.met}


def p95_ms(seconds: Sequence[float]) -> float:
    """95th percentile in milliseconds of times in seconds."""
    return sorted(seconds)[int(len(seconds) * 0.95)] * 1000


def beside_quiet(what: str, p95: float, quiet: float, most: float | None, facts: Mapping[str, Any]) -> Row:
    """A 95th percentile beside something, against the same when quiet; both in milliseconds."""
    return Row(
        what=what,
        measured=round(p95, 1),
        unit="ms",
        floor=round(quiet, 1),
        against="p95 when quiet",
        most=most,
        facts=facts,
    )


Measure = Callable[[], Coroutine[Any, Any, list[Row]]]


def measure(main: Measure) -> None:
    """What `python -m bench.<name>` does: measures, prints one JSON line per row."""
    for row in asyncio.run(main()):
        print(json.dumps(row.as_fields(), ensure_ascii=False))


def show(rows: Iterable[Row]) -> None:
    """The rows as a table."""
    table = Table("what", "measured", "floor", "ratio", "goal", "met", box=None, header_style="bold")
    for row in rows:
        floor = "" if row.floor is None else f"{_number(row.floor)} {row.unit}: {row.against}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = {True: "[green]yes[/]", False: "[yellow]no[/]", None: ""}[row.met]
        table.add_row(row.what, f"{_number(row.measured)} {row.unit}", floor, ratio, row.goal, met)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
