"""Actors under a supervisor, and the journal in which they say what happened to them."""

import sys
from collections.abc import Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.one_machine import actor
from tests.one_machine.actor import STARTED_BY_HAND
from tests.one_machine.waiting import until

from lifemask.cli.supervisor import Child


class Journal:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.path.touch()
        self._gifts = count(1)
        self._marks: dict[str, int] = {}

    def child(self, name: str, *options: str, **settings: Any) -> Child:
        settings.setdefault("before_start", partial(self._mark, name))
        settings.setdefault("ready", partial(self._is_ready, name))
        if "once" in options:
            settings |= {"ready": None, "once": True}
        if "gift" in options:
            settings |= {"gives": self._next_gift}
        return Child(name=name, argv=(sys.executable, actor.__file__, name, str(self.path), *options), **settings)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()

    def said(self, what: str) -> list[str]:
        """The names of those who said it, in order."""
        return [line.partition(" ")[0] for line in self.lines() if line.partition(" ")[2] == what]

    async def until_said(self, line: str, times: int = 1) -> None:
        await until(lambda: self.lines().count(line) >= times)

    def number(self, name: str, what: str) -> int:
        return next(int(line.split()[2]) for line in self.lines() if line.startswith(f"{name} {what} "))

    def _next_gift(self) -> Mapping[str, str]:
        return {STARTED_BY_HAND: str(next(self._gifts))}

    def _mark(self, name: str) -> None:
        self._marks[name] = len(self.lines())

    async def _is_ready(self, name: str) -> bool:
        return f"{name} ready" in self.lines()[self._marks[name] :]
