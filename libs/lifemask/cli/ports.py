"""TCP ports on 127.0.0.1: those of last time when they are free, so that URLs handed out stay true."""

import contextlib
import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

_FILE = "ports.json"


def choose_ports(names: Iterable[str], data: Path, wanted: Mapping[str, int] | None = None) -> dict[str, int]:
    """A port for each name: the wanted one, else the one remembered in `data`, else any free one; then remembers.

    Raises OSError when a wanted port is taken.
    """
    before = remembered(data)
    chosen = dict[str, int]()
    with contextlib.ExitStack() as held:  # all held at once, so that no two are the same
        for name in names:
            sock = held.enter_context(_bind((wanted or {}).get(name, 0), before.get(name, 0)))
            chosen[name] = sock.getsockname()[1]
    (data / _FILE).write_text(json.dumps(chosen))
    return chosen


def _bind(wanted: int, remembered: int) -> socket.socket:
    if wanted:
        return socket.create_server(("127.0.0.1", wanted))
    try:
        return socket.create_server(("127.0.0.1", remembered))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def remembered(data: Path) -> dict[str, int]:
    """The ports that were chosen last in `data`; empty when none were."""
    try:
        found = json.loads((data / _FILE).read_text())
    except (OSError, ValueError):
        return {}
    names = found if isinstance(found, dict) else {}
    return {name: port for name, port in names.items() if isinstance(port, int) and 0 < port < 65536}
