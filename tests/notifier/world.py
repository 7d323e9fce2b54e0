"""Fakes of the notifier's ports and the events that its tests share."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from lifemask.bus.outcomes import Keep, Outcome, Retryable
from lifemask.contracts import (
    Failure,
    FailureCode,
    ModelReady,
    ModelRevoked,
    PhotoVerdict,
    RunCanceled,
    RunFailed,
    RunRejected,
    RunStalled,
    Verdict,
)
from lifemask.contracts.event import Baton
from lifemask.notifier.domain import (
    Answered,
    Delivery,
    Notification,
    Pending,
    Reopened,
    Schedule,
    Settled,
    State,
    Target,
    Tried,
)
from lifemask.notifier.letter import Called, Letter
from lifemask.testkit.events import an_event

USER = "acme.user-42"
RUN = "0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f"
IDS = {"user_id": USER, "run_id": RUN}
TARGET = Target("https://app.example/hook", "whsec_" + "AAAA" * 8)
PHOTOS = [f"0192f7a0-2222-7d3e-8f40-0000000000{number:02}" for number in range(1, 5)]

READY = an_event(ModelReady, **IDS)
REVOKED = an_event(ModelRevoked, **IDS, reason="The photos were another person's.", actor="kim")
FAILED = an_event(RunFailed, **IDS, stage="train", failure=Failure.of(FailureCode.TRAINING_FAILED))
BROKEN = an_event(
    RunFailed,
    **IDS,
    stage="package",
    failure=Failure.of(FailureCode.CUSTODY_BROKEN, link="archive: differs"),
)
CANCELED = an_event(RunCanceled, **IDS)
STALLED = an_event(RunStalled, **IDS, stage="package", failure=Failure.of(FailureCode.INTERNAL))
REJECTED = an_event(
    RunRejected,
    **IDS,
    failure=Failure.of(FailureCode.TOO_FEW_USABLE, usable=2, received=4, minimum=12, needed=10),
    received=4,
    usable=2,
    needed=10,
    photos=(
        PhotoVerdict(photo_id=PHOTOS[0], usable=True, verdicts=()),
        PhotoVerdict(photo_id=PHOTOS[1], usable=False, verdicts=(Verdict.BLURRY, Verdict.TOO_DARK)),
        PhotoVerdict(photo_id=PHOTOS[2], usable=True, verdicts=()),
        PhotoVerdict(photo_id=PHOTOS[3], usable=False, verdicts=(Verdict.DUPLICATE,)),
    ),
)


@dataclass
class InMemoryNotifications:
    """The rows, with the same conditions as the real ones."""

    rows: dict[str, Notification] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    now: datetime = datetime(2026, 2, 1, tzinfo=UTC)

    async def find(self, user_id: str, notification: str) -> Notification | None:
        return self.rows.get(notification)

    async def is_over(self, user_id: str, run_id: str) -> bool:
        return any(note.fact.run_id == run_id and note.fact.baton is Baton.ENDS for note in self.rows.values())

    def apply(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Keep):
                self._write(outcome.row)

    def _write(self, row: object) -> None:
        match row:
            case Pending(notification=note):
                self.rows.setdefault(note.id, note)
            case Tried(id=id_, tries=tries):
                self.rows[id_] = replace(self.rows[id_], tries=tries)
            case Settled(id=id_, tries=tries, state=state):
                self.rows[id_] = replace(self.rows[id_], tries=tries, state=state)
            case Reopened(id=id_):
                self.rows[id_] = replace(self.rows[id_], state=State.PENDING, resent_at=self.now)
            case Answered(order=order, outcome=outcome):
                self.answers[order] = outcome


@dataclass
class InMemoryPeople:
    """What a person told us; `is_away` makes the store fail."""

    email: str | None = "anna@example.com"
    names: Called = field(default_factory=lambda: Called("My portrait", "ANNA"))
    is_away: bool = False

    async def address(self, user_id: str) -> str | None:
        if self.is_away:
            raise Retryable(FailureCode.STORE_UNAVAILABLE)
        return self.email

    async def called(self, user_id: str, run_id: str) -> Called:
        return self.names


@dataclass
class InMemoryMail:
    """A mail server that answers what it is told to."""

    answer: Delivery = Delivery.ACCEPTED
    sent: list[tuple[str, Letter, str]] = field(default_factory=list)
    left_alone: timedelta | None = None

    def wait(self) -> timedelta | None:
        return self.left_alone

    async def send(self, address: str, letter: Letter, notification: str) -> Delivery:
        self.sent.append((address, letter, notification))
        return self.answer


@dataclass
class InMemoryWebhooks:
    """Apps that answer what they are told to."""

    answer: Delivery = Delivery.ACCEPTED
    targets: dict[str, Target] = field(default_factory=lambda: {"acme": TARGET})
    calls: list[tuple[Target, str, str]] = field(default_factory=list)
    left_alone: timedelta | None = None

    def wait(self, target: Target) -> timedelta | None:
        return self.left_alone

    def target(self, user_id: str) -> Target | None:
        return self.targets.get(user_id.partition(".")[0])

    async def call(self, target: Target, notification: str, body: str) -> Delivery:
        self.calls.append((target, notification, body))
        return self.answer


@dataclass
class World:
    """Everything outside of the handlers."""

    notifications: InMemoryNotifications = field(default_factory=InMemoryNotifications)
    people: InMemoryPeople = field(default_factory=InMemoryPeople)
    mail: InMemoryMail = field(default_factory=InMemoryMail)
    webhooks: InMemoryWebhooks = field(default_factory=InMemoryWebhooks)
    schedule: Schedule = field(default_factory=lambda: Schedule(patience=timedelta(days=3)))
