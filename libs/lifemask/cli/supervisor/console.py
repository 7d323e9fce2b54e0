"""One log of many processes: a column with the name, then the line; each process's lines also in a file of its own."""

import contextlib
from pathlib import Path
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # ANSI foreground colours that read on dark and on light
# Control characters of a logged line must not drive the terminal; tabs are harmless.
_HARMLESS = {code: "?" for code in (*range(32), *range(127, 160)) if code != ord("\t")}


class Console:
    """Writes lines to `out` (None: nowhere) and to `folder`/NAME.log.

    A file that reaches `file_limit` bytes is moved to NAME.log.1; one such is kept. Neither a closed terminal nor a
    full disk is an error here: what is logged goes on.
    """

    def __init__(
        self,
        folder: Path,
        out: TextIO | None,
        *,
        width: int = 15,
        colour: bool | None = None,
        file_limit: int = 10_000_000,
    ) -> None:
        self._folder = folder
        self._out = out
        self._width = width
        self._colour = out is not None and (out.isatty() if colour is None else colour)
        self._file_limit = file_limit
        self._colour_of: dict[str, int] = {}
        self._files: dict[str, TextIO] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def line(self, name: str, text: str) -> None:
        try:
            self._keep(name, text)
        except OSError as error:
            self._show(name, f"its log file cannot be written: {error.strerror}")
        self._show(name, text)

    def close(self) -> None:
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        self._files.clear()

    def _keep(self, name: str, text: str) -> None:
        path = self._folder / f"{name}.log"
        if name not in self._files:
            self._files[name] = path.open("a", encoding="utf-8", errors="replace")
        file = self._files[name]
        file.write(text + "\n")
        file.flush()
        if file.tell() >= self._file_limit:
            self._files.pop(name).close()
            path.replace(path.with_suffix(".log.1"))

    def _show(self, name: str, text: str) -> None:
        if self._out is None:
            return
        column = f"{name:<{self._width}} │"
        if self._colour:
            colour = self._colour_of.setdefault(name, _COLOURS[len(self._colour_of) % len(_COLOURS)])
            column = f"\x1b[{colour}m{column}\x1b[0m"
        try:
            self._out.write(f"{column} {text.translate(_HARMLESS)}\n")
            self._out.flush()
        except OSError:
            self._out = None
