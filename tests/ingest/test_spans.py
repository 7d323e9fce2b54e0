"""What a trace shows of calls: the acts in the run's own trace, the caller's trace linked, no address and no token."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.doors.upstream import Upstream, packed, uploaded
from tests.ingest.world import World, about

from lifemask.contracts import ModelReady
from lifemask.runtime.telemetry import make_provider, root_of

CALLER = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Spans as they end; the provider of the process stays, as it can be set but once."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = make_provider("ingest")
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


async def test_one_trace_per_run_and_the_callers_is_linked(world: World, spans: InMemorySpanExporter) -> None:
    world.http.headers["traceparent"] = f"00-{CALLER}-b7ad6b7169203331-01"
    run = await world.accepted()
    await world.receive(about(run, ModelReady))
    token = world.tokens.mint("users/acme.u1/contact.json", "weights", datetime.now(UTC) + timedelta(minutes=1))
    await world.http.get(f"/v1/objects/{token}")
    finished = spans.get_finished_spans()
    assert {span.context.trace_id for span in finished if span.context} == {root_of(run).trace_id}
    accepted = next(span for span in finished if span.name == "ingest run.accepted.v1")
    assert [f"{link.context.trace_id:032x}" for link in accepted.links] == [CALLER]
    assert [span.name for span in finished if span.parent is None] == ["run"]
    shown = "".join(span.to_json() for span in finished)
    assert token[:40] not in shown
    assert "/v1/" not in shown
    assert "acme.u1" not in shown


async def test_the_trace_of_an_app_that_publishes_is_linked(world: World, spans: InMemorySpanExporter) -> None:
    event = uploaded("up-1", await Upstream(world).put("up-1"))
    await world.service.intake.store([packed(event, traceparent=f"00-{CALLER}-b7ad6b7169203331-01")])
    await world.settle()
    finished = spans.get_finished_spans()
    assert {span.context.trace_id for span in finished if span.context} == {root_of(event.run_id).trace_id}
    taken = next(span for span in finished if span.name == "ingest photos.uploaded.v1")
    assert [f"{link.context.trace_id:032x}" for link in taken.links] == [CALLER]
