"""The stages of a run as bars: what is done, what is under way, what waits. Pure; drawn by `render`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from lifemask.cli.views import Run


class State(StrEnum):
    """Of one bar."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    ENDED = "ended"
    """The run ended here without a model."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One stage. `share` is 0 to 1, `seconds` how long it took when it is done."""

    label: str
    state: State
    share: float
    note: str = ""
    seconds: float | None = None


_STAGES: Final = (
    ("photos", ("draft",), ("created_at", "submitted_at")),
    ("check", ("accepted", "validating"), ("submitted_at", "validated_at")),
    ("pack", ("packaging",), ("validated_at", "packaged_at")),
    ("train", ("training",), ("packaged_at", "trained_at")),
    ("publish", ("publishing",), ("trained_at", "ended_at")),
)
_BY_STAGE: Final = {"request": 0, "validate": 1, "package": 2, "train": 3, "publish": 4, "notify": 5}


def stage_bars(run: Run, photos: int = 0) -> tuple[Bar, ...]:
    """The bars of a run whose draft shall get so many photos (0: as many as it has)."""
    at = _position(run)
    return tuple(_bar(run, index, at, photos or run.photos.received) for index in range(len(_STAGES)))


def _position(run: Run) -> int:
    if run.status == "ready":
        return len(_STAGES)
    if run.is_over:
        return _BY_STAGE.get(run.stage, 0)
    return next((index for index, (_, statuses, _) in enumerate(_STAGES) if run.status in statuses), 0)


def _bar(run: Run, index: int, at: int, photos: int) -> Bar:
    label = _STAGES[index][0]
    if index > at:
        return Bar(label, State.WAITING, 0.0)
    if index < at:
        return Bar(label, State.DONE, 1.0, _note(run, label), _seconds(run, index))
    if run.is_over:
        return Bar(label, State.ENDED, _share(run, label, photos), run.status)
    return Bar(
        label, State.WORKING, _share(run, label, photos), "delayed, our side" if run.delayed else _note(run, label)
    )


def _share(run: Run, label: str, photos: int) -> float:
    if label == "photos":
        counts = run.photos
        return min(1.0, (counts.received - counts.pending) / photos) if photos else 0.0
    return run.training.percent / 100 if label == "train" else 0.5


def _note(run: Run, label: str) -> str:
    match label:
        case "photos":
            return f"{run.photos.received} received, {run.photos.usable} usable"
        case "train" if run.training.step is not None:
            return f"step {run.training.step} of {run.training.steps}"
        case _:
            return ""


def _seconds(run: Run, index: int) -> float | None:
    first, last = (run.timings.get(name) for name in _STAGES[index][2])
    if not (isinstance(first, str) and isinstance(last, str)):
        return None
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
