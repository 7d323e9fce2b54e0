"""One attempt at a paid training: its states, and every change of it as a value.

A change is stored by compare-and-set: it takes effect only from the states that `MOVES` allows, so a late or repeated
message can never move an attempt back. Money facts (which trainings exist, what they cost) are kept always.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import urlsplit


class State(StrEnum):
    """Where an attempt is."""

    INTENDED = "intended"
    """Planned; nothing sent, or what was sent provably made nothing."""
    CREATING = "creating"
    """Committed just before the paid call: found after a crash, it means that nobody knows."""
    UNKNOWN = "unknown"
    """The paid call may have been accepted; only the provider can tell."""
    RUNNING = "running"
    """The provider's training is known."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABANDONED = "abandoned"
    """No training was found and none can start any more, or another attempt took its place."""


OVER: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED, State.ABANDONED})
UNSETTLED: Final = frozenset({State.CREATING, State.UNKNOWN})

MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.INTENDED: frozenset({State.CREATING, State.CANCELED}),
    State.CREATING: frozenset({State.INTENDED, State.UNKNOWN, State.RUNNING, State.FAILED, State.ABANDONED}),
    State.UNKNOWN: frozenset({State.RUNNING, State.ABANDONED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.ABANDONED: frozenset(),
}


def sources(to: State) -> frozenset[State]:
    """The states from which an attempt may come to `to`."""
    return frozenset(state for state, targets in MOVES.items() if to in targets)


class AttemptId(NamedTuple):
    """An attempt of a run; `number` counts from 1."""

    user_id: str
    run_id: str
    number: int

    @property
    def run(self) -> dict[str, str]:
        """`user_id` and `run_id`, to be passed on to an event of the run."""
        return {"user_id": self.user_id, "run_id": self.run_id}


@dataclass(frozen=True, slots=True)
class ArchiveAddress:
    """Where the provider fetches an archive, and whether it does so through our gateway, which records each fetch."""

    url: str
    gateway: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What an attempt asks of the provider; fixed when it is intended.

    `dataset` is the digest of the dataset statement, `trainer` is `owner/name:version`. By the path of `archive_url`
    the provider's training is recognised; `gateway` says whether fetches of it are on record. `photos`, `archive_bytes`
    and `seen_at` are what the dataset's event said and when it came: a further attempt proves the same again.
    """

    trainer: str
    dataset: str
    archive_key: str
    archive_url: str
    url_expires_at: datetime
    gateway: bool
    steps: int
    rank: int
    learning_rate: str
    estimated_cost: Decimal
    photos: int
    archive_bytes: int
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class KnownTraining:
    """A training that the provider holds for an attempt. More than one means that somebody was billed twice."""

    id: str
    booked: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row. `intended_at` is the database's time, `statement` the digest of the training statement, `version` what
    the training left at the provider (`owner/name:id`).

    `doubted_at` is when the answer to the paid call was lost, `clean_since` when the first complete listing without a
    training of it ended (database time). `asked`: an operator was asked to settle it. `fetches` counts the verified
    fetches of the archive, `copy_failures` the tries at the weights that broke off.
    """

    id: AttemptId
    state: State
    plan: Plan
    intended_at: datetime
    stop: bool = False
    statement: str | None = None
    training: str | None = None
    version: str | None = None
    percent: int = 0
    doubted_at: datetime | None = None
    clean_listings: int = 0
    clean_since: datetime | None = None
    asked: bool = False
    fetches: int = 0
    copy_failures: int = 0
    trainings: tuple[KnownTraining, ...] = ()

    @property
    def archive_path(self) -> str:
        """What stays the same in the archive's URL however the provider shows it."""
        return urlsplit(self.plan.archive_url).path

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def unbooked(self) -> tuple[str, ...]:
        """Ids of the trainings whose cost is not recorded yet."""
        return tuple(each.id for each in self.trainings if not each.booked)

    @property
    def unwanted(self) -> tuple[str, ...]:
        """Ids of the unbooked trainings that must not go on."""
        watched = self.is_watched
        return tuple(each for each in self.unbooked if watched or each != self.training)

    @property
    def is_watched(self) -> bool:
        """Whether the watcher is responsible: the run is over, or another attempt took this one's place."""
        return self.stop or self.state is State.ABANDONED

    def asks_the_same(self, other: "Attempt") -> bool:
        """Whether both plan to train on the same sealed archive with the same parameters."""
        mine, its = self.plan, other.plan
        return (mine.dataset, mine.archive_key, mine.steps, mine.rank, mine.learning_rate) == (
            its.dataset,
            its.archive_key,
            its.steps,
            its.rank,
            its.learning_rate,
        )

    def is_planned_as(self, other: "Attempt") -> bool:
        """Whether a training of one is recognised as one of the other."""
        mine, its = self.plan, other.plan
        return (mine.trainer, mine.gateway, self.archive_path) == (its.trainer, its.gateway, other.archive_path)

    @property
    def made_nothing(self) -> bool:
        """Whether it is certain that the provider has no training for it."""
        return not self.trainings and self.state in {State.INTENDED, State.FAILED, State.CANCELED}


@dataclass(frozen=True, slots=True)
class Bill:
    """What one ended training costs: billed seconds, US dollars, and the provider's word for its end."""

    training: str
    ended_as: str
    seconds: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Intend:
    """A new attempt. One that is there already stays as it is."""

    id: AttemptId
    plan: Plan


@dataclass(frozen=True, slots=True)
class Claim:
    """intended -> creating, or the commit fails: whoever gets through owns the attempt's one paid call."""

    id: AttemptId
    statement: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """creating -> intended: the call provably made nothing."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Doubt:
    """creating -> unknown."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Adopt:
    """creating or unknown -> running. The training is recorded in any state."""

    id: AttemptId
    training: str


@dataclass(frozen=True, slots=True)
class Spot:
    """A further training of the attempt, which nobody wants."""

    id: AttemptId
    training: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Progress in percent; never goes back."""

    id: AttemptId
    percent: int


@dataclass(frozen=True, slots=True)
class ListedClean:
    """A complete listing of the provider showed no training of this attempt."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Abandon:
    """unknown -> abandoned, or the commit fails: another attempt takes its place, this one is the watcher's."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Ask:
    """An operator must settle what became of the paid call; `why` says what is undecided."""

    id: AttemptId
    why: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an operator's order."""

    order: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The archive was fetched, and it was the sealed one. Not counted any more once the count is closed."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class CloseCount:
    """The weights statement is about to say how often the archive was fetched: the number stays as it is."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class CopyFailed:
    """The weights did not come through."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class End:
    """The attempt is over; its bill, if there is one, is booked once."""

    id: AttemptId
    to: State
    bill: Bill | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """The bill of a training, recorded once whatever the attempt's state."""

    id: AttemptId
    bill: Bill


@dataclass(frozen=True, slots=True)
class StopRun:
    """The run is over: all its attempts are the watcher's from now on."""

    user_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The model was revoked, and the provider holds nothing more that the run's trainings left."""

    user_id: str
    run_id: str


Change = (
    Intend
    | Claim
    | Withdraw
    | Doubt
    | Adopt
    | Spot
    | Advance
    | ListedClean
    | Abandon
    | Ask
    | Answered
    | Fetched
    | CloseCount
    | CopyFailed
    | End
    | Book
    | StopRun
    | Forgotten
)
