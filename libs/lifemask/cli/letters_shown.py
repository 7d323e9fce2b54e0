"""How dead letters look on a terminal and as JSON. What came from elsewhere is never read as markup."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from lifemask.cli.out import Out
from lifemask.cli.tables import facts_table

if TYPE_CHECKING:
    from lifemask.bus.letters import Effect, Letter

_HERE = {
    "none": "",
    "brought": "waits for it",
    "held": "is here",
    "ending": "is ending",
    "over": "is over here",
    "over_brought": "is over here",
}


def letter_fields(letter: "Letter", *, whole: bool = False) -> dict[str, Any]:
    """The JSON of a letter; `whole` with its bytes (base64), headers, and the error of each attempt."""
    fields: dict[str, Any] = {
        "id": letter.id,
        "service": letter.service,
        "type": letter.type,
        "topic": letter.topic,
        "user": letter.user_id,
        "run": letter.run_id,
        "run_state": letter.here.value,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "got_at": letter.got_at.isoformat(),
        "dead_at": letter.dead_at.isoformat(),
        "last_error": letter.errors[-1] if letter.errors else None,
    }
    if whole:
        from lifemask.bus.letters import on_discard, on_replay

        replay = on_replay(letter)
        fields |= {
            "message_id": letter.msg_id,
            "value": base64.b64encode(letter.value).decode(),
            "headers": [[name, None if value is None else _text(value)] for name, value in letter.headers],
            "errors": list(letter.errors),
            "replay": replay.says,
            "replay_refused": replay.refused,
            "discard": on_discard(letter).says,
        }
    return fields


def letters_table(letters: Sequence["Letter"]) -> Table:
    """Letters, one a line."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("letter", no_wrap=True, min_width=max((len(letter.id) for letter in letters), default=0))
    for column in ("since", "message", "run", "its run", "tries", "replays", "why"):
        table.add_column(column, overflow="fold")
    for letter in letters:
        table.add_row(
            Text(letter.id, style="bold"),
            _when(letter.dead_at),
            Text(letter.type.removeprefix("lifemask.")),
            Text(letter.run_id or ""),
            Text(_HERE[letter.here.value], style="yellow" if letter.here.value == "brought" else "dim"),
            str(letter.attempts),
            str(letter.replays),
            Text(_why(letter.errors[-1]) if letter.errors else ""),
        )
    return table


def show_letter(out: Out, letter: "Letter") -> None:
    """One letter, whole."""
    from lifemask.bus.letters import on_discard, on_replay

    out.show(
        facts_table(
            {
                "letter": letter.id,
                "message": letter.type,
                "topic": letter.topic,
                "user": letter.user_id or "",
                "run": f"{letter.run_id or ''} {_HERE[letter.here.value]}".strip(),
                "came": _when(letter.got_at),
                "dead since": _when(letter.dead_at),
                "replays": str(letter.replays),
            }
        )
    )
    out.show(Text("\n  errors", style="dim"))
    for error in letter.errors:
        out.show(Text(f"  {error.get('at', '')[:19]}  {_why(error)}"))
    out.show(Text("\n  headers", style="dim"))
    for name, value in letter.headers:
        out.show(Text(f"  {name}: {'null' if value is None else _text(value)}"))
    out.show(Text(f"\n  body, {len(letter.value)} bytes", style="dim"))
    out.show(Text(_body(letter.value)))
    out.show("")
    out.show(effect_line(letter, on_replay(letter), "replay: "))
    out.show(effect_line(letter, on_discard(letter), "discard: "))


def effect_line(letter: "Letter", effect: "Effect", act: str = "") -> Text:
    """What an act would do to a letter."""
    mark = ("✗ ", "red") if effect.refused else ("▸ ", "cyan")
    return Text.assemble("  ", mark, (letter.id, "bold"), f" {act}{effect.says}")


def _why(error: Mapping[str, Any]) -> str:
    detail = error.get("detail")
    return f"{error.get('code', '?')}{f': {detail}' if detail else ''}"


def _body(value: bytes) -> str:
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return _text(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(value).decode()}"


def _when(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
