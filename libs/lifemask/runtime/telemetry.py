"""Tracing: one trace per run, whose ids any hop can compute from the run id.

The trace id is the first 16 bytes of sha256(run id), the root span's id the 8 after them, so that a child can point to
a root that is exported only when the run is over. Everything is sampled: runs are few and worth it.
"""

from __future__ import annotations

import hashlib
import os
from contextvars import ContextVar
from datetime import datetime

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

_EXPORT_SECONDS = 2
"""Longest wait for the collector: a collector that is away must not hold up the end of the process."""

_forced: ContextVar[tuple[int, int] | None] = ContextVar("forced_span_ids", default=None)


class _Ids(IdGenerator):
    """Random ids, except for the root span of a run, whose ids follow from the run id."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        forced = _forced.get()
        return forced[0] if forced else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        forced = _forced.get()
        return forced[1] if forced else self._random.generate_span_id()


def configure(service: str) -> TracerProvider:
    """Installs the process's tracer provider; spans leave by OTLP/HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

    Counts leave only when `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set: not every collector takes them.
    """
    provider = make_provider(service)
    if os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        _export_metrics(service)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_EXPORT_SECONDS)))
    trace.set_tracer_provider(provider)
    return provider


def _export_metrics(service: str) -> None:
    from opentelemetry import metrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=_EXPORT_SECONDS))
    resource = Resource.create({"service.name": service})
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))


def make_provider(service: str) -> TracerProvider:
    """A provider whose id generator can mint the root span of a run; add span processors to it."""
    return TracerProvider(resource=Resource.create({"service.name": service}), id_generator=_Ids())


def trace_id_of(run_id: str) -> str:
    """The run's trace id, 32 hexadecimal digits."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:32]


def root_of(run_id: str) -> SpanContext:
    """The root span of a run, which may not have been exported yet."""
    digest = hashlib.sha256(run_id.encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def parent_of(run_id: str | None, traceparent: str | None) -> tuple[otel_context.Context, list[Link]]:
    """The context to start a span in, and its links.

    A `traceparent` of the run's own trace is the parent; one of another trace (an app's own) is linked instead.
    """
    carried = propagate.extract({"traceparent": traceparent} if traceparent else {}, context=otel_context.Context())
    incoming = trace.get_current_span(carried).get_span_context()
    if run_id is None:
        return carried, []
    root = root_of(run_id)
    if incoming.is_valid and incoming.trace_id == root.trace_id:
        return carried, []
    links = [Link(incoming)] if incoming.is_valid else []
    return set_span_in_context(NonRecordingSpan(root), otel_context.Context()), links


def current_traceparent(run_id: str | None = None) -> str | None:
    """The `traceparent` of the span we are in; with a `run_id` whose trace that is not, the run's root."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    here = trace.get_current_span().get_span_context().trace_id
    if run_id is not None and here != (root := root_of(run_id)).trace_id:
        propagate.inject(carrier, context=set_span_in_context(NonRecordingSpan(root)))
    return carrier.get("traceparent")


def export_root_span(
    run_id: str, started_at: datetime, ended_at: datetime, outcome: str, tracer: trace.Tracer | None = None
) -> None:
    """Exports the one root span of a run. `outcome` is the type of its terminal fact."""
    root = root_of(run_id)
    token = _forced.set((root.trace_id, root.span_id))
    try:
        span = (tracer or trace.get_tracer("lifemask")).start_span(
            "run",
            context=set_span_in_context(trace.INVALID_SPAN, otel_context.Context()),
            start_time=int(started_at.timestamp() * 1e9),
            attributes={"lifemask.run": run_id, "lifemask.outcome": outcome},
        )
    finally:
        _forced.reset(token)
    span.end(end_time=int(ended_at.timestamp() * 1e9))
