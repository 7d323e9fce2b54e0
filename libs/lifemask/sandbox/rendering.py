"""A training as the API shows it. It has neither webhook nor destination on the wire."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from lifemask.sandbox.models import Models
from lifemask.sandbox.progress import log_of
from lifemask.sandbox.training import (
    TERMINAL,
    Training,
    billed_seconds,
    completed_at,
    error_of,
    is_gone,
    status_of,
    timestamp,
)


@dataclass(frozen=True, slots=True)
class Rendering:
    """`base` and `files`: URLs of the API and of the file server. `retention`: seconds a finished training keeps."""

    base: str
    files: str
    retention: float
    secret: str
    models: Models

    def show(self, training: Training, now: float, *, logs: bool = True) -> dict[str, Any]:
        status = status_of(training, now)
        gone = is_gone(training, now, self.retention)
        shown: dict[str, Any] = {
            "id": training.id,
            "model": training.model,
            "version": training.version,
            "input": {} if gone else training.input,
            "output": None if gone else self._output(training, now),
            "error": error_of(training, now),
            "status": status,
            "created_at": timestamp(training.created_at),
            "started_at": timestamp(training.starts_at) if status not in {"starting", "aborted"} else None,
            "completed_at": timestamp(completed_at(training, now)),
            "data_removed": gone,
            "source": "api",
            "metrics": self._metrics(training, now) if status in TERMINAL and status != "aborted" else {},
            "urls": {
                "get": f"{self.base}/v1/trainings/{training.id}",
                "cancel": f"{self.base}/v1/trainings/{training.id}/cancel",
            },
        }
        if logs:
            shown["logs"] = "" if gone else log_of(training, now)
        return shown

    def is_downloadable(self, training: Training, now: float) -> bool:
        """Whether the file server still has the output."""
        return (
            status_of(training, now) == "succeeded"
            and not is_gone(training, now, self.retention)
            and not self.models.is_deleted(training)
        )

    def key(self, training: Training) -> str:
        """The unguessable part of the output's URL, the same after a restart."""
        return hmac.new(self.secret.encode(), f"output {training.id}".encode(), hashlib.sha256).hexdigest()[:40]

    def _output(self, training: Training, now: float) -> dict[str, str] | None:
        if status_of(training, now) != "succeeded":
            return None
        weights = f"{self.files}/outputs/{training.id}/{self.key(training)}/trained_model.tar"
        return {"version": f"{training.destination}:{training.model_version}", "weights": weights}

    @staticmethod
    def _metrics(training: Training, now: float) -> dict[str, float]:
        billed = billed_seconds(training, now)
        return {"predict_time": billed, "total_time": round(billed + training.queue_seconds, 3)}
