"""Where a command speaks: tables, bars and colour on a terminal, otherwise JSON lines."""

import json
import sys
from typing import Any, TextIO

from rich.console import Console, RenderableType


class Out:
    """One command's voice. On a terminal `show` draws and `fact` is silent; as JSON it is the other way round."""

    def __init__(self, *, as_json: bool, stream: TextIO | None = None, console: Console | None = None) -> None:
        self.stream = stream or sys.stdout
        self.as_json = as_json
        self.console = console or Console(file=self.stream, highlight=False)
        self._errors = Console(file=sys.stderr, highlight=False) if console is None else console

    @classmethod
    def choose(cls, *, as_json: bool) -> "Out":
        """JSON when asked for, or when nobody looks at a terminal."""
        return cls(as_json=as_json or not sys.stdout.isatty())

    def fact(self, event: str, **fields: Any) -> None:
        """One JSON object on a line of its own: `{"event": …}`."""
        if self.as_json:
            self.stream.write(json.dumps({"event": event, **fields}, default=str, ensure_ascii=False) + "\n")
            self.stream.flush()

    def show(self, what: RenderableType = "") -> None:
        """Text or a table for a person."""
        if not self.as_json:
            self.console.print(what)

    def problem(self, what: str, next_step: str = "", **fields: Any) -> None:
        """Why the command ends without having done what it should: a JSON line, or two sentences on stderr."""
        if self.as_json:
            self.fact("problem", what=what, next_step=next_step, **fields)
            return
        self._errors.print(f"[bold red]✗[/] {_plain(what)}", soft_wrap=True)
        if next_step:
            self._errors.print(f"  {_plain(next_step)}", soft_wrap=True)


def _plain(text: str) -> str:
    """Words from elsewhere must not be read as markup."""
    return text.replace("[", r"\[")
