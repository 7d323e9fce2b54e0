"""A trainer with everything in memory: one message in, its outcomes stored as the bus would."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.trainer.fakes import (
    POLICY,
    START,
    InMemoryAddresses,
    InMemoryAttempts,
    InMemoryChain,
    InMemoryTrainings,
    InMemoryWeights,
)

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder, RunEnded
from lifemask.contracts import (
    ArchiveFetched,
    ArchiveRefusal,
    DatasetSealed,
    Event,
    RunCanceled,
    RunFailed,
    TrainingCallbackReceived,
)
from lifemask.contracts.event import Baton
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.stepping import step
from lifemask.trainer.domain.attempt import Attempt, AttemptId
from lifemask.trainer.domain.policy import Policy
from lifemask.trainer.handlers import HANDLERS, stop_run


class RunOver(Exception):
    """What the bus ends a handler with when its run is over."""


@dataclass
class WorldTurn:
    """A turn that stores what is committed in the world's rows."""

    world: "World"
    got_at: datetime
    epoch: int = 1
    tries: int = 0

    async def check(self) -> None:
        if self.world.over:
            raise RunOver

    async def commit(self, *outcomes: Later | Keep) -> None:
        await self.check()
        self.world.store(outcomes)


@dataclass
class World:
    attempts: InMemoryAttempts = field(default_factory=InMemoryAttempts)
    trainings: InMemoryTrainings = field(default_factory=InMemoryTrainings)
    weights: InMemoryWeights = field(default_factory=InMemoryWeights)
    chain: InMemoryChain = field(default_factory=InMemoryChain)
    addresses: InMemoryAddresses = field(default_factory=InMemoryAddresses)
    policy: Policy = POLICY
    run: dict[str, str] = field(default_factory=a_run)
    reminders: list[Later] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    over: bool = False
    now: datetime = START

    @property
    def sealed(self) -> DatasetSealed:
        return an_event(DatasetSealed, **self.run)

    @property
    def attempt(self) -> Attempt:
        """The newest attempt."""
        return self.attempts.rows[max(self.attempts.rows)]

    def callback(self, training: str, attempt: int = 1) -> TrainingCallbackReceived:
        return an_event(TrainingCallbackReceived, **self.run, training=training, attempt=attempt)

    def fetched(self, refused: ArchiveRefusal | None = None, attempt: int = 1) -> ArchiveFetched:
        return an_event(ArchiveFetched, **self.run, refused=refused, attempt=attempt)

    def id(self, number: int = 1) -> AttemptId:
        return AttemptId(self.run["user_id"], self.run["run_id"], number)

    async def handle(self, message: Event | Reminder, *, finishes: bool = True) -> list[Outcome]:
        """Steps the handler and finishes the message like the bus: run events of a run that is over are dropped.

        Unless it `finishes`, the transaction that does so is lost.
        """
        try:
            outcomes = await step(
                HANDLERS,
                message,
                turn=WorldTurn(self, self.now),  # type: ignore[arg-type]  # a turn of its own
                attempts=self.attempts,
                trainings=self.trainings,
                weights=self.weights,
                chain=self.chain,
                addresses=self.addresses,
                policy=self.policy,
            )
        except RunOver:
            return []
        if not finishes:
            return outcomes
        self.store(outcomes)
        for event in (each for each in outcomes if isinstance(each, Event)):
            if self.over and event.baton is not Baton.FREE:
                continue
            self.events.append(event)
            if event.baton is Baton.ENDS:
                self.end(event)
            elif event.baton is Baton.PASSES:
                self.over = True
        return outcomes

    def store(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Keep):
                self.attempts.write(outcome.row)
        self.reminders.extend(each for each in outcomes if isinstance(each, Later))

    def end(self, terminal: Event | None = None) -> None:
        """The ender's part: the run ends here."""
        if terminal is None:
            terminal = an_event(RunCanceled, **self.run, stage="train")
            self.events.append(terminal)
        self.over = True
        self.store(stop_run(RunEnded(terminal, self.run["user_id"], self.run["run_id"])))

    async def fire(self, index: int = 0) -> list[Outcome]:
        """Lets time pass until a waiting reminder is due and handles it."""
        later = self.reminders.pop(index)
        self.pass_time(later.after)
        return await self.handle(later.message)

    def pass_time(self, passed: timedelta) -> None:
        self.now += passed
        self.attempts.now = self.trainings.now = self.now


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    """What came out, by name: rows and reminders by what they hold."""
    return [
        type(each.row if isinstance(each, Keep) else each.message if isinstance(each, Later) else each).__name__
        for each in outcomes
    ]


def failure_of(outcomes: Sequence[Outcome]) -> RunFailed:
    return next(each for each in outcomes if isinstance(each, RunFailed))
