"""From a stored message to its handler's outcomes: reading the body, giving the handler its ports."""

import inspect
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from lifemask.bus.inbound import Table
from lifemask.bus.lanes import Message
from lifemask.bus.outcomes import Outcome, Reminder, Route, Turn, Unprocessable
from lifemask.contracts import Event, FailureCode, RunEvent, split_version


class TooNew(Exception):
    """An event version that only a later deploy can read: its lane waits."""


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

    def read(self, message: Message) -> tuple[Route, Event | Reminder]:
        """The message's route and content. Raises TooNew or Unprocessable."""
        route = self._table.routes.get(message.type)
        if route is None:
            family, version = split_version(message.type)
            if version > self._table.families.get(family, version):
                raise TooNew
            raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, "this event, or its version, is handled no more")
        try:
            event = route.message.read(message.value)
        except ValidationError as problem:
            places = sorted({".".join(map(str, error["loc"])) or "body" for error in problem.errors()})
            raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, "unreadable: " + ", ".join(places[:5])) from None
        run = getattr(event, "run_id", None)
        if event.user_id != message.user_id or (isinstance(event, RunEvent) and run != message.run_id):
            raise Unprocessable(FailureCode.MESSAGE_UNREADABLE, "body, key and subject name different users or runs")
        return route, event

    async def call(self, route: Route, event: Event | Reminder, turn: Turn) -> Sequence[Outcome]:
        """What the route's handler says to the event. Raises what the handler raises."""
        name = route.message.ce_type
        given = self._ports[name]
        return await route.handler(event, **(given | {"turn": turn} if name in self._turning else given))
