"""One trace per run across services; logs that carry it, and nothing of a person."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once
from pydantic import BaseModel
from tests.bus.lab import Lab, record, write_note

from lifemask.bus.inbound import Raw
from lifemask.bus.outcomes import Misconfigured, Outcome, Retryable, on
from lifemask.bus.rows import Pool
from lifemask.bus.service import Bus, Service
from lifemask.contracts import (
    DatasetSealed,
    FailureCode,
    PhotosValidated,
    RunStalled,
    Stage,
    TrainingSucceeded,
    read_envelope,
)
from lifemask.runtime import logs
from lifemask.runtime.settings import ServiceSettings
from lifemask.runtime.telemetry import export_root_span, make_provider, root_of, trace_id_of
from lifemask.testkit.events import a_run, an_event

FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Everything that is traced meanwhile. The provider is global to a process, so that it is put in and taken out."""
    exporter, provider = InMemorySpanExporter(), make_provider("packager")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace._TRACER_PROVIDER = None  # there is no public way to replace a provider
    trace._TRACER_PROVIDER_SET_ONCE = Once()
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()
    trace._TRACER_PROVIDER = None
    trace._TRACER_PROVIDER_SET_ONCE = Once()


async def train(event: DatasetSealed) -> Sequence[Outcome]:
    return [an_event(TrainingSucceeded, **event.run)]


def next_service(lab: Lab) -> Service:
    """The next service of the chain, in the same tables: what matters here is what travels."""
    bus = Bus("trainer", Stage.TRAIN, ServiceSettings(), lab.pool)
    return bus.serve([on(DatasetSealed, train, brings="run")], writer=write_note)


async def relayed(lab: Lab, topic: str) -> list[Raw]:
    """The outbox as the next service receives it."""
    rows = await lab.pool.fetch("select * from outbox where topic = $1 order by id", topic)
    headers = [[(name, value.encode()) for name, value in json.loads(row["headers"])] for row in rows]
    return [
        Raw(topic, str(row["id"]), row["key"].encode(), row["value"], pairs)
        for row, pairs in zip(rows, headers, strict=True)
    ]


def carrying(raw: Raw, traceparent: str) -> Raw:
    return Raw(raw.topic, raw.place, raw.key, raw.value, [*raw.headers, ("traceparent", traceparent.encode())])


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (span,) = [span for span in spans.get_finished_spans() if span.name == name]
    return span


def ids(span: ReadableSpan) -> tuple[str, int, int | None]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", span.context.span_id, span.parent.span_id if span.parent else None


async def test_a_run_is_one_trace_across_services(lab: Lab, spans: InMemorySpanExporter) -> None:
    run = a_run()
    await lab.service.intake.store([carrying(record(an_event(PhotosValidated, **run)), FOREIGN)])
    await lab.settle()
    following = next_service(lab)
    await following.intake.store(await relayed(lab, DatasetSealed.topic))
    await following.worker.step()
    export_root_span(run["run_id"], datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), "ready")
    first = named(spans, "packager photos.validated.v1")
    second = named(spans, "trainer dataset.sealed.v1")
    root = named(spans, "run")
    expected, root_span = trace_id_of(run["run_id"]), root_of(run["run_id"]).span_id
    assert ids(root) == (expected, root_span, None)
    assert ids(first)[::2] == (expected, root_span)
    assert ids(second)[::2] == (expected, ids(first)[1])
    (link,) = first.links
    assert f"{link.context.trace_id:032x}" == FOREIGN.split("-")[1]
    assert not second.links


async def test_a_failure_shows_in_the_span_without_its_text(lab: Lab, spans: InMemorySpanExporter) -> None:
    lab.script.failures = [ValueError("sam@example.org"), Retryable(FailureCode.STORE_UNAVAILABLE)]
    await lab.receive(an_event(PhotosValidated, **a_run()))
    for _ in range(3):
        await lab.settle()
        await lab.time_passes()
    found = spans.get_finished_spans()
    codes = [FailureCode.INTERNAL.value, FailureCode.STORE_UNAVAILABLE.value, None]
    assert [span.status.description for span in found] == codes
    assert "sam@example.org" not in "".join(span.to_json() for span in found)


async def test_a_reminder_stays_in_the_trace_of_its_run(lab: Lab, spans: InMemorySpanExporter) -> None:
    run = a_run()
    await lab.receive(an_event(PhotosValidated, **run))
    await lab.cancel(run)
    await lab.end_due()
    assert ids(named(spans, "packager end"))[0] == trace_id_of(run["run_id"])


async def test_runs_that_a_pause_tells_of_stay_each_in_their_trace(pool: Pool, spans: InMemorySpanExporter) -> None:
    """All are told from within the one message that met the fault."""
    lab = Lab.of(pool, lanes=1)
    lab.script.failures = [Misconfigured(FailureCode.STORE_DENIED, "s3:GetObject denied on bucket/users/…")]
    runs = [a_run() for _ in range(3)]
    await lab.receive(*(an_event(PhotosValidated, **run) for run in runs))
    await lab.turn()
    told = [read_envelope(raw.headers) for raw in await relayed(lab, RunStalled.topic)]
    assert sorted(one.subject or "" for one in told) == sorted(run["run_id"] for run in runs)
    for one in told:
        assert (one.traceparent or "").split("-")[1] == trace_id_of(one.subject or "")


async def test_logs_carry_run_user_and_trace_and_nothing_of_a_person(
    lab: Lab, spans: InMemorySpanExporter, capsys: pytest.CaptureFixture[str]
) -> None:
    class Body(BaseModel):
        mail: int

    run = a_run()
    before = structlog.get_config()
    logs.configure("packager")
    structlog.configure(cache_logger_on_first_use=False)
    try:
        try:
            Body.model_validate({"mail": "sam@example.org"})
        except ValueError as problem:
            lab.script.failures = [problem, OSError(2, "No such file", "sam@example.org")]
        await lab.receive(an_event(PhotosValidated, **run))
        for _ in range(3):
            await lab.settle()
            await lab.time_passes()
        logging.getLogger("uvicorn.error").error("broken", exc_info=ValueError("sam@example.org"))
        lines: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    finally:
        structlog.configure(**before)
        structlog.contextvars.clear_contextvars()
        logging.basicConfig(force=True, handlers=[logging.NullHandler()])
    failed = [line for line in lines if line["event"] == "handler_failed"]
    assert [line["exception"].splitlines()[0] for line in failed] == ["ValidationError", "FileNotFoundError"]
    for line in failed:
        assert line["run"] == run["run_id"]
        assert line["user"] == logs.hashed(run["user_id"])
        assert line["trace"] == trace_id_of(run["run_id"])
        assert line["service"] == "packager"
    assert lines[-1]["exception"] == "ValueError"
    assert "sam@example.org" not in json.dumps(lines)
    assert run["user_id"] not in json.dumps(lines)
