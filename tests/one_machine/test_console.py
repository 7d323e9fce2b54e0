import io
from pathlib import Path

import pytest

from lifemask.cli.supervisor import Console


def test_a_line_has_its_name_before_it_and_goes_into_a_file(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(tmp_path, out, width=8)
    console.line("trainer", "hello")
    console.line("packager", "wörld")
    console.close()
    assert out.getvalue() == "trainer  │ hello\npackager │ wörld\n"
    assert (tmp_path / "trainer.log").read_text() == "hello\n"


@pytest.mark.parametrize("colour", [True, False])
def test_names_have_colours_where_they_are_wanted(tmp_path: Path, *, colour: bool) -> None:
    out = io.StringIO()
    console = Console(tmp_path, out, colour=colour)
    console.line("one", "x")
    console.line("two", "x")
    console.close()
    assert ("\x1b[36mone" in out.getvalue(), "\x1b[33mtwo" in out.getvalue()) == (colour, colour)


def test_a_logged_line_cannot_drive_the_terminal(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(tmp_path, out, width=1)
    console.line("a", "\x1b[2J\tbell\x07 \x9b")
    console.close()
    assert out.getvalue() == "a │ ?[2J\tbell? ?\n"


def test_a_full_file_is_moved_aside(tmp_path: Path) -> None:
    console = Console(tmp_path, None, file_limit=20)
    for number in range(5):
        console.line("a", f"line {number}")
    console.close()
    assert (tmp_path / "a.log").read_text() == "line 3\nline 4\n"
    assert (tmp_path / "a.log.1").read_text() == "line 0\nline 1\nline 2\n"


def test_a_terminal_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = Console(tmp_path, Gone())
    console.line("a", "one")
    console.line("a", "two")
    console.close()
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"
