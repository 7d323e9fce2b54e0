"""What is known about a run: a set of facts that is the same whatever order they came in.

Kafka orders a user's events within a topic, never across topics. So facts are kept by slot, and what a slot holds does
not depend on when facts of other topics came; the view is computed from the whole set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from lifemask.contracts import (
    DatasetSealed,
    ModelReady,
    ModelRevoked,
    NotificationDelivered,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunCancelRequested,
    RunEvent,
    RunFailed,
    RunRejected,
    RunStalled,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)

END: Final = "end"
ENDS: Final[tuple[type[RunEvent], ...]] = (ModelReady, RunRejected, RunFailed, RunCanceled)
"""The terminal facts."""
FOLDED: Final[tuple[type[RunEvent], ...]] = (
    RunAccepted,
    RunCancelRequested,
    PhotosValidated,
    DatasetSealed,
    TrainingStarted,
    TrainingProgressed,
    TrainingSucceeded,
    ModelRevoked,
    RunStalled,
    NotificationDelivered,
    *ENDS,
)
"""Events that a run's view is made of (photos are rows of their own)."""
_REPLACED: Final = (RunStalled, NotificationDelivered)

E = TypeVar("E", bound=RunEvent)


@dataclass(frozen=True, slots=True)
class Fact:
    """One event and when it was stored here (informative)."""

    event: RunEvent
    at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known about one run, by slot."""

    slots: Mapping[str, Fact] = field(default_factory=dict)

    def after(self, event: RunEvent, at: datetime) -> "Facts":
        """The facts with `event` among them; the same object when it says nothing new."""
        slot = slot_of(event)
        known = self.slots.get(slot)
        if known is not None and not _replaces(event, known.event):
            return self
        return Facts({**self.slots, slot: Fact(event, at)})

    def of(self, kind: type[E]) -> tuple[tuple[E, datetime], ...]:
        """All facts of one kind in slot order, each with its time."""
        found = sorted(item for item in self.slots.items() if isinstance(item[1].event, kind))
        return tuple((fact.event, fact.at) for _, fact in found if isinstance(fact.event, kind))

    def one(self, kind: type[E]) -> E | None:
        """The first fact of a kind, or None."""
        return next((event for event, _ in self.of(kind)), None)

    def has(self, *kinds: type[RunEvent]) -> bool:
        """Whether a fact of any of the kinds is known."""
        return any(isinstance(fact.event, kinds) for fact in self.slots.values())

    def at(self, kind: type[RunEvent]) -> datetime | None:
        """When the first fact of a kind came."""
        return min((at for _, at in self.of(kind)), default=None)

    @property
    def end(self) -> Fact | None:
        """The run's terminal fact."""
        return self.slots.get(END)


def slot_of(event: RunEvent) -> str:
    """Where a fact is kept: one slot per thing that can be known once."""
    match event:
        case _ if isinstance(event, ENDS):
            return END
        case TrainingStarted() | TrainingProgressed():
            return f"{event.ce_type}:{event.attempt:04}"
        case RunStalled():
            return f"{event.ce_type}:{event.stage.value}"
        case NotificationDelivered():
            return f"{event.ce_type}:{event.channel}"
        case _:
            return event.ce_type


def _replaces(new: RunEvent, old: RunEvent) -> bool:
    if isinstance(new, TrainingProgressed) and isinstance(old, TrainingProgressed):
        return (new.step, new.percent) > (old.step, old.percent)
    return isinstance(new, _REPLACED) and new != old
