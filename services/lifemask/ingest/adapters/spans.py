"""The root span of a run."""

from datetime import datetime

from lifemask.runtime.telemetry import export_root_span


class TelemetrySpans:
    """The port `Spans` on OpenTelemetry."""

    def finish(self, run_id: str, started_at: datetime, ended_at: datetime, outcome: str) -> None:
        export_root_span(run_id, started_at, ended_at, outcome)
