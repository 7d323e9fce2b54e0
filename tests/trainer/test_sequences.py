"""Any sequence of messages, crashes, answers and ends: no attempt is paid twice, and in the end all is booked."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.trainer.fakes import ClaimLost, InMemoryAttempts
from tests.trainer.world import World, kinds

from lifemask.bus.outcomes import Misconfigured, Reminder, Retryable
from lifemask.contracts import ArchiveRefusal
from lifemask.contracts.event import Baton
from lifemask.trainer.domain.attempt import Attempt, State
from lifemask.trainer.domain.training import Answer, Fate
from lifemask.trainer.handlers.messages import AbandonOrdered, AdoptOrdered, Reconcile

ANSWERS = [
    (Answer.STARTED, True),
    (Answer.LOST, True),
    (Answer.LOST, False),
    (Answer.BUSY, False),
    (Answer.UNSENT, False),
    (Answer.DENIED, False),
    (Answer.INVALID, False),
]


class Killed(Exception):
    """The worker ends here."""


async def killed() -> None:
    raise Killed


def drive(coroutine: Any) -> Any:
    """Runs a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the world in memory waited for something")


class Trainer(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = self.make_world()

    @staticmethod
    def make_world() -> World:
        return World()

    async def _end_meanwhile(self) -> None:
        if not self.world.over:
            self.world.end()

    def _handle(self, call: Any) -> bool:
        """Whether the message is done; otherwise the bus keeps it."""
        try:
            drive(call)
        except (Killed, ClaimLost, Retryable, Misconfigured):
            return False
        return True

    @rule(
        answer=st.sampled_from(ANSWERS),
        trouble=st.sampled_from(["none", "none", "killed before", "killed after", "ended before", "ended after"]),
        finishes=st.booleans(),
    )
    def dataset_sealed(self, answer: tuple[Answer, bool], trouble: str, *, finishes: bool) -> None:
        """Delivered once, or again: after a crash, by a replay. Without a finish its outcomes are lost."""
        happens = {"killed": killed, "ended": self._end_meanwhile}.get(trouble.split(maxsplit=1)[0])
        provider = self.world.trainings
        provider.answers = [answer]
        provider.before_create = happens if trouble.endswith("before") else None
        provider.after_create = happens if trouble.endswith("after") else None
        self._handle(self.world.handle(self.world.sealed, finishes=finishes))

    @precondition(lambda self: self.world.reminders)
    @rule(data=st.data(), finishes=st.booleans())
    def reminder(self, data: Any, *, finishes: bool) -> None:
        later = self.world.reminders.pop(data.draw(st.integers(0, len(self.world.reminders) - 1)))
        self.world.pass_time(later.after)
        if not (self._handle(self.world.handle(later.message, finishes=finishes)) and finishes):
            self.world.reminders.append(later)

    @precondition(lambda self: self.world.trainings.held)
    @rule(data=st.data())
    def callback(self, data: Any) -> None:
        training = data.draw(st.sampled_from(sorted(self.world.trainings.held)))
        self._handle(self.world.handle(self.world.callback(training, self._attempt_of(training))))

    def _attempt_of(self, training: str) -> int:
        path = self.world.trainings.held[training].archive_path
        return next(row.id.number for row in self.world.attempts.rows.values() if row.archive_path == path)

    @precondition(lambda self: self.world.trainings.held)
    @rule(data=st.data(), refused=st.sampled_from([None, None, None, ArchiveRefusal.OTHER_BYTES]))
    def archive_fetched(self, data: Any, refused: ArchiveRefusal | None) -> None:
        training = data.draw(st.sampled_from(sorted(self.world.trainings.held)))
        self._handle(self.world.handle(self.world.fetched(refused, self._attempt_of(training))))

    @precondition(lambda self: self.world.attempts.rows)
    @rule(data=st.data(), answer=st.sampled_from(ANSWERS))
    def operator(self, data: Any, answer: tuple[Answer, bool]) -> None:
        run, number = self.world.run, self.world.attempt.id.number
        self.world.trainings.answers = [answer]
        self.world.trainings.before_create = self.world.trainings.after_create = None
        order: Reminder = AbandonOrdered(**run, attempt=number, order="order")
        if self.world.trainings.held and data.draw(st.booleans()):
            training = data.draw(st.sampled_from(sorted(self.world.trainings.held)))
            order = AdoptOrdered(**run, attempt=number, training=training, order="order")
        self._handle(self.world.handle(order))

    @rule()
    def the_search_goes_on(self) -> None:
        """Time passes as far as a second paid call takes."""
        for _ in range(9):
            waiting = [i for i, each in enumerate(self.world.reminders) if isinstance(each.message, Reconcile)]
            if waiting:
                self._handle(self.world.fire(waiting[0]))

    @precondition(lambda self: any(each.fate is Fate.OPEN for each in self.world.trainings.held.values()))
    @rule(data=st.data(), status=st.sampled_from(["succeeded", "failed", "aborted"]))
    def provider_ends(self, data: Any, status: str) -> None:
        live = sorted(name for name, each in self.world.trainings.held.items() if each.fate is Fate.OPEN)
        training = data.draw(st.sampled_from(live))
        self.world.trainings.succeed(training) if status == "succeeded" else self.world.trainings.set(training, status)

    @rule(lagging=st.booleans(), away=st.booleans())
    def provider_moods(self, *, lagging: bool, away: bool) -> None:
        self.world.trainings.lagging = set(self.world.trainings.held) if lagging else set()
        self.world.trainings.away = away

    @precondition(lambda self: not self.world.over)
    @rule()
    def run_ends(self) -> None:
        self.world.end()

    @invariant()
    def one_paid_call_per_attempt(self) -> None:
        assert all(count <= 1 for count in self.world.trainings.posts.values()), "paid twice"
        paths = [training.archive_path for training in self.world.trainings.held.values()]
        assert len(set(paths)) == len(paths), "an attempt has two trainings"

    @invariant()
    def one_attempt_runs(self) -> None:
        rows = [row for row in self.world.attempts.rows.values() if row.state in {State.RUNNING, State.SUCCEEDED}]
        assert len(rows) <= 1

    @invariant()
    def one_end(self) -> None:
        ends = [event for event in self.world.events if event.baton in {Baton.ENDS, Baton.PASSES}]
        assert len(ends) <= 1

    @invariant()
    def nothing_is_sealed_unfetched(self) -> None:
        if "weights" in {what for what, _ in self.world.chain.sealed}:
            assert self.world.attempt.fetches

    def teardown(self) -> None:
        """The provider is well again and the run ends: then everything at the provider is over and booked."""
        world = self.world
        world.trainings.away, world.trainings.lagging = False, set()
        if not world.over:
            world.end()
        for _ in range(400):
            if world.reminders:
                self._handle(world.fire())
        assert kinds(world.reminders) == []
        for training in world.trainings.held.values():
            assert training.fate is not Fate.OPEN
            assert training.id in world.attempts.bills
        assert all(row.is_over for row in world.attempts.rows.values())


class Forgetful(InMemoryAttempts):
    """Rows without the safeguard: what was committed before the paid call is not seen afterwards."""

    async def of_run(self, user_id: str, run_id: str) -> Sequence[Attempt]:
        rows = await super().of_run(user_id, run_id)
        return [replace(row, state=State.INTENDED) if row.state is State.CREATING else row for row in rows]

    def write(self, change: object) -> None:
        with suppress(ClaimLost):
            super().write(change)


class Unguarded(Trainer):
    @staticmethod
    def make_world() -> World:
        return World(attempts=Forgetful())

    def teardown(self) -> None:
        """Only the doubled call counts here."""


CAREFULLY = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.slow
def test_no_sequence_pays_twice() -> None:
    run_state_machine_as_test(Trainer, settings=CAREFULLY)


@pytest.mark.slow
def test_without_the_committed_intent_some_sequence_pays_twice() -> None:
    thorough = settings(CAREFULLY, max_examples=3000, derandomize=True, database=None, print_blob=False)
    once = settings(thorough, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError, match="paid twice"):
        run_state_machine_as_test(Unguarded, settings=once)
