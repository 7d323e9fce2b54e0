"""Where calls of the API are stored: the bus, with one short span for each act in the run's own trace."""

from collections.abc import Sequence

from opentelemetry import trace

from lifemask.bus.outcomes import Outcome
from lifemask.bus.service import Bus
from lifemask.contracts import Event
from lifemask.runtime.logs import hashed
from lifemask.runtime.telemetry import current_traceparent, parent_of


class TracedDesk:
    """The port `Desk` on the bus. A trace that the caller is in is linked, not continued: the run has its own."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def commit(
        self, user_id: str, outcomes: Sequence[Outcome], *, cause: str, run_id: str | None = None, takes: bool = False
    ) -> bool:
        context, links = parent_of(run_id, current_traceparent())
        attributes = {"lifemask.user": hashed(user_id), **({"lifemask.run": run_id} if run_id else {})}
        with trace.get_tracer("lifemask.ingest").start_as_current_span(
            f"ingest {_what(outcomes)}", context, trace.SpanKind.SERVER, attributes, links
        ):
            return await self._bus.commit(user_id, outcomes, cause=cause, run_id=run_id, takes=takes)


def _what(outcomes: Sequence[Outcome]) -> str:
    events = [outcome.ce_type.removeprefix("lifemask.") for outcome in outcomes if isinstance(outcome, Event)]
    return events[0] if events else "call"
