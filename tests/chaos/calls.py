"""Every call of a service to the outside, found by code: what may be cut off before it or after it.

Of a service: the public async methods and functions of its adapters and the methods of its store. Of the bus: every
function that opens a transaction or takes a connection, and the four moments inside its endless loops (`LIBRARY`). A
function that is given a connection speaks inside somebody else's transaction, whose end is a point: a crash at every
single statement is played by tests/bus/test_crashes.py.
"""

import ast
import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from lifemask.bus.roles import SCHEMAS

SERVICES: Final = SCHEMAS
STORE: Final = ("put", "writing", "get", "read", "head", "delete", "list")
"""What a service may ask of its store; the same names for every store."""
LIBRARY: Final = ("bus.produce", "bus.mark", "bus.poll", "bus.ack")
"""Inside endless loops: a record sent (after: acknowledged by the broker, not yet marked), the outbox marked, a poll
answered, and a batch acknowledged after it was stored."""
COMMIT: Final = "bus.transaction"
"""Before: everything of a transaction was said but COMMIT; after: it is stored, and nobody knows."""
ASKS: Final = frozenset(
    {"execute", "fetch", "fetchrow", "fetchval", "executemany", "acquire", "transaction", "connect"}
)
"""Methods and functions by which a piece of code asks PostgreSQL."""

Kind = Literal["call", "stream", "context"]


@dataclass(frozen=True, slots=True)
class Call:
    """Where an outside call is. `label` is its name in a crash point: `create`, `StoredNames.add`, `store.put`."""

    label: str
    module: str
    owner: str | None
    name: str

    @property
    def qualified(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name


def points_of(service: str, label: str) -> tuple[str, str]:
    """The two crash points of a call: before and after it."""
    return f"{service}.before_{label}", f"{service}.after_{label}"


def calls_of(service: str) -> list[Call]:
    """All outside calls of a service, its share of the bus included."""
    return [*adapter_calls(service), *store_calls(), *bus_calls()]


def adapter_calls(service: str) -> list[Call]:
    """Of the adapters: by method, and by class and method where two would have one name."""
    found = [call for module in _modules(f"lifemask.{service}.adapters") for call in _public(module)]
    times = Counter(call.name for call in found)
    return [
        replace(call, label=call.name if times[call.name] == 1 and call.name[0] != "_" else _apart(call))
        for call in found
    ]


def _apart(call: Call) -> str:
    if call.owner is None:
        return f"{call.module.rpartition('.')[2]}.{call.name}"
    return call.owner if call.name == "__call__" else call.qualified


def store_calls() -> list[Call]:
    """Of the object store, whichever it is."""
    return [Call(f"store.{name}", "lifemask.objects.port", "ObjectStore", name) for name in STORE]


def bus_calls() -> list[Call]:
    """Of the bus: its functions that ask, the end of a transaction, and the moments inside its loops."""
    own = [
        Call(f"bus.{place}", module, *_split(place))
        for module, path in sources("lifemask.bus")
        for place in asking(ast.parse(path.read_text()))
        if (module, place) not in OUTSIDE_OF_SERVICES
    ]
    loops = [Call(label, "", None, label) for label in LIBRARY]
    return [*own, Call(COMMIT, "lifemask.bus.rows", None, "transaction"), *loops]


OUTSIDE_OF_SERVICES: Final = frozenset(
    {
        *(("lifemask.bus.migrate", name) for name in ("migrate", "_prepare", "_upgrade", "_grant")),
        *(("lifemask.bus.ordering", name) for name in ("order", "tell", "outcomes", "_at")),
        ("lifemask.bus.rows", "transaction"),
    }
)
"""Of `lifemask migrate` and of operators' commands, which no service runs; and what COMMIT stands for."""
IN_MEMORY: Final = frozenset(
    {"lifemask.packager.adapters.tape", "lifemask.packager.adapters.zip_reader", "lifemask.trainer.adapters.tar"}
)
"""Parsers of what is read elsewhere: they wait for a stream whose points are the store's and the weights'."""


def asking(tree: ast.Module) -> Iterator[str]:
    """The qualified names of a module's async functions that ask PostgreSQL themselves."""
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and _asks(node):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from (
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.AsyncFunctionDef) and _asks(each)
            )


def _asks(function: ast.AsyncFunctionDef) -> bool:
    if any(argument.arg == "connection" for argument in function.args.args):
        return False
    asked = [node.value for node in ast.walk(function) if isinstance(node, ast.Await)]
    for node in ast.walk(function):
        if isinstance(node, ast.AsyncWith):
            asked += [item.context_expr for item in node.items]
    return any(_called(each) in ASKS for each in asked)


def _called(expression: ast.expr) -> str:
    if not isinstance(expression, ast.Call):
        return ""
    function = expression.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def sources(package: str) -> Iterator[tuple[str, Path]]:
    """Module names and files of a package, without importing anything."""
    root = Path(next(iter(importlib.import_module(package).__path__)))
    for path in sorted(root.rglob("*.py")):
        inner = path.relative_to(root).with_suffix("").parts
        yield ".".join((package, *(part for part in inner if part != "__init__"))), path


def kind_of(function: Any) -> Kind | None:
    """How it is waited for; None when it is not."""
    if inspect.iscoroutinefunction(function):
        return "call"
    if inspect.isasyncgenfunction(function):
        return "stream"
    if inspect.isasyncgenfunction(getattr(function, "__wrapped__", None)):
        return "context"
    return None


def _modules(package: str) -> Iterator[ModuleType]:
    folder = importlib.import_module(package)
    for found in pkgutil.walk_packages(folder.__path__, f"{package}."):
        if found.name not in IN_MEMORY:
            yield importlib.import_module(found.name)


def _public(module: ModuleType) -> Iterator[Call]:
    """Opening a client asks nobody yet, so that a context of a module is none of them."""
    for name, item in vars(module).items():
        if getattr(item, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(item) and not getattr(item, "_is_protocol", False):
            for method, function in vars(item).items():
                if (not method.startswith("_") or method == "__call__") and kind_of(function):
                    yield Call("", module.__name__, item.__name__, method)
        elif not name.startswith("_") and kind_of(item) in {"call", "stream"}:
            yield Call("", module.__name__, None, name)


def _split(place: str) -> tuple[str | None, str]:
    owner, dot, name = place.rpartition(".")
    return (owner if dot else None), name
