"""From a stored message to its handler's outcomes: reading the body, giving the handler its ports."""

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from lifemask.bus.inbound import PROBLEM, TWICE, Table, header
from lifemask.bus.lanes import Message
from lifemask.bus.outcomes import Outcome, Reminder, Route, Turn, Unprocessable
from lifemask.contracts import Event, FailureCode, RunEvent, Value, split_version

_TOLD: Final = 3
"""Faults of a body that are told; who mends these sees the others next."""


class TooNew(Exception):
    """An event version that only a later deploy can read: its lane waits."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A body that does not fit, of a route that says what then: `problem` is what is wrong with it."""

    user_id: str
    run_id: str
    problem: str
    value: bytes


class Calls:
    """The handlers of a service with their ports. Raises TypeError when a handler needs a port that is not there."""

    def __init__(self, table: Table, ports: Mapping[str, object]) -> None:
        self._table = table
        self._ports: dict[str, dict[str, object]] = {}
        self._turning: set[str] = set()
        for name, route in table.routes.items():
            wanted = list(inspect.signature(route.handler).parameters)[1:]
            if missing := [port for port in wanted if port != "turn" and port not in ports]:
                raise TypeError(f"{route.handler.__name__} needs what serve() was not given: {', '.join(missing)}")
            self._ports[name] = {port: ports[port] for port in wanted if port != "turn"}
            if "turn" in wanted:
                self._turning.add(name)

    def read(self, message: Message) -> tuple[Route, Event | Reminder | Unfit]:
        """The message's route and content. Raises TooNew or Unprocessable."""
        route = self._table.routes.get(message.type)
        if route is None:
            family, version = split_version(message.type)
            if version > self._table.families.get(family, version):
                raise TooNew
            raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, "this event, or its version, is handled no more")
        if header(message.headers, PROBLEM) is not None and route.unfit is not None:
            return route, _unfit(route, message, TWICE)
        try:
            event = route.message.read(message.value)
        except ValidationError as problem:
            return route, _unfit(route, message, _told(problem, route.message))
        run = getattr(event, "run_id", None)
        if event.user_id != message.user_id or (isinstance(event, RunEvent) and run != message.run_id):
            return route, _unfit(route, message, "body, key and subject name different users or runs")
        return route, event

    async def call(self, route: Route, event: Event | Reminder | Unfit, turn: Turn) -> Sequence[Outcome]:
        """What the route's handler says to the event. Raises what the handler raises.

        An unfit message speaks for a run only when it brought it: the run of another message has its own fact.
        """
        if isinstance(event, Unfit):
            if route.unfit is None or not await turn.brought():
                raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, event.problem)
            return route.unfit(event.user_id, event.run_id, event.problem, event.value)
        name = route.message.ce_type
        given = self._ports[name]
        return await route.handler(event, **(given | {"turn": turn} if name in self._turning else given))


def _unfit(route: Route, message: Message, problem: str) -> Unfit:
    if route.unfit is None or message.run_id is None:
        raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, problem)
    return Unfit(message.user_id, message.run_id, problem, message.value)


def _told(problem: ValidationError, model: type[Value]) -> str:
    """Which fields break which rule. Names that the model does not know are the sender's content and are not told."""
    known = _names(model)
    told: dict[str, str] = {}
    for error in problem.errors(include_url=False, include_context=False, include_input=False):
        parts = (str(part) if isinstance(part, int) or part in known else "…" for part in error["loc"])
        told.setdefault(".".join(parts) or "body", error["msg"])
    return "; ".join(f"{place}: {rule}" for place, rule in list(told.items())[:_TOLD])


@functools.cache
def _names(model: type[Value]) -> frozenset[str]:
    return frozenset(_properties(model.model_json_schema()))


def _properties(schema: Any) -> Iterator[str]:
    """The names of all fields, also of the models inside."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _properties(part)
