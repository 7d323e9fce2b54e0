"""A run as far as its events tell: what a subscriber knows without asking anybody. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from lifemask.cli.views import Counts, Model, Photo, Reason, Run, Training
from lifemask.contracts import (
    DatasetSealed,
    ModelReady,
    PhotoJudged,
    PhotoReceived,
    PhotosUploaded,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunEvent,
    RunFailed,
    RunRejected,
    RunStalled,
    TrainingProgressed,
    TrainingSucceeded,
    photo_id_of,
    sentence,
)

_STATUS: Final[dict[type[RunEvent], tuple[str, str, str]]] = {
    RunAccepted: ("validating", "submitted_at", "We look at the photos."),
    PhotosValidated: ("packaging", "validated_at", "We pack the photos for the training."),
    DatasetSealed: ("training", "packaged_at", "The model is being trained."),
    TrainingSucceeded: ("publishing", "trained_at", "The model is trained; we publish it."),
    ModelReady: ("ready", "ended_at", "The model is ready."),
    RunRejected: ("rejected", "ended_at", ""),
    RunFailed: ("failed", "ended_at", ""),
    RunCanceled: ("canceled", "ended_at", "The run was cancelled."),
}
_ORDER: Final = ("draft", *(status for status, _, _ in _STATUS.values()))


@dataclass
class Heard:
    """One announced run. Topics have no common order, so a status never goes back."""

    run: Run
    names: dict[str, str]
    usable: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, event: PhotosUploaded, at: datetime) -> "Heard":
        """The run of an announcement."""
        run = Run(
            id=event.run_id,
            name=event.request.name,
            status="draft",
            summary="The photos are taken over.",
            timings={"created_at": at.isoformat()},
            training=Training(steps=event.request.steps),
        )
        return cls(run, {photo_id_of(event.run_id, name): name for name in event.objects})

    def hear(self, event: RunEvent, at: datetime) -> None:
        """Takes what the event says into `run`."""
        match event:
            case PhotoReceived():
                self._count(received=self.run.photos.received + 1)
            case PhotoJudged():
                self.usable[event.photo_id] = event.usable
                self._count()
            case TrainingProgressed():
                self._change(
                    training=self.run.training.model_copy(update={"percent": event.percent, "step": event.step})
                )
            case RunStalled():
                self._change(delayed=True, summary=event.failure.what)
            case _ if type(event) in _STATUS:
                self._advance(event, at)

    def photo(self, event: PhotoJudged) -> Photo:
        """A verdict as it is shown, under the object's name."""
        return Photo(
            id=event.photo_id,
            name=self.names.get(event.photo_id),
            status="usable" if event.usable else "rejected",
            verdicts=tuple(Reason(code=code.value, sentence=sentence(code)) for code in event.verdicts),
        )

    def _count(self, received: int | None = None) -> None:
        received = self.run.photos.received if received is None else received
        usable = sum(self.usable.values())
        judged = len(self.usable)
        counts = Counts(received=received, pending=max(0, received - judged), usable=usable, rejected=judged - usable)
        self._change(photos=counts)

    def _advance(self, event: RunEvent, at: datetime) -> None:
        status, moment, summary = _STATUS[type(event)]
        timings = {**self.run.timings, moment: at.isoformat()}
        if _ORDER.index(status) <= _ORDER.index(self.run.status):
            return self._change(timings=timings)
        changes: dict[str, Any] = {"status": status, "summary": summary, "delayed": False, "timings": timings}
        match event:
            case RunRejected(failure=failure):
                changes |= {"summary": failure.what, "next_step": failure.next_step, "whose_move": failure.move.value}
                changes |= {"stage": "validate" if self.run.status != "draft" else "request"}
            case RunFailed(failure=failure, stage=stage):
                changes |= {"summary": failure.what, "next_step": failure.next_step, "whose_move": failure.move.value}
                changes |= {"stage": stage.value}
            case RunCanceled(stage=stage):
                changes |= {"stage": stage.value}
            case TrainingSucceeded():
                changes |= {"training": self.run.training.model_copy(update={"percent": 100})}
            case ModelReady():
                changes |= {
                    "progress": 100,
                    "model": Model(id=event.model_id, version=event.version, bytes=event.bytes),
                }
            case _:
                pass
        return self._change(**changes)

    def _change(self, **changes: Any) -> None:
        self.run = self.run.model_copy(update=changes)
