"""Who says and who hears which event, read from the code: the HANDLERS tables, and where events are made."""

import ast
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lifemask.bus.outcomes import Route
from lifemask.bus.roles import SERVICES, schema_of
from lifemask.contracts import BY_TYPE, EVENTS, Event, RunCancelRequested

_ROOT: Final = Path(__file__).parent.parent
_BUS: Final = _ROOT / "libs" / "lifemask" / "bus"
_BY_NAME: Final = {event.__name__: event for event in EVENTS}


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one service says and hears, both in the order of the catalogue."""

    service: str
    says: tuple[type[Event], ...]
    hears: tuple[type[Event], ...]


@cache
def traffic() -> tuple[Traffic, ...]:
    """Of every service."""
    return tuple(_of(service) for service in SERVICES)


def _of(service: str) -> Traffic:
    package = schema_of(service)
    routes: tuple[Route, ...] = importlib.import_module(f"lifemask.{package}.handlers").HANDLERS
    hears = {BY_TYPE[route.message.ce_type] for route in routes if route.message.ce_type in BY_TYPE}
    says = made_in(sorted((_ROOT / "services" / "lifemask" / package).rglob("*.py")))
    if any(route.brings for route in routes):  # the bus ends, cancels and stalls the runs that a service holds
        hears.add(RunCancelRequested)
        says |= made_in(sorted(_BUS.rglob("*.py")))
    return Traffic(service, _ordered(says), _ordered(hears))


def made_in(files: Iterable[Path]) -> set[type[Event]]:
    """The events that the code in `files` makes: `RunFailed(…)` or `RunFailed.model_validate(…)`."""
    return {
        _BY_NAME[name]
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and (name := _made(node.func)) in _BY_NAME
    }


def _made(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name), attr="model_validate"):
            return name
        case _:
            return ""


def _ordered(found: Iterable[type[Event]]) -> tuple[type[Event], ...]:
    return tuple(sorted(found, key=EVENTS.index))
