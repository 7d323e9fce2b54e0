"""A paid call whose answer was lost: adopted, paid again, or settled by an operator; never paid twice by chance."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.trainer.fakes import POLICY, SECOND, START
from tests.trainer.world import World, failure_of, kinds

from lifemask.bus.outcomes import Later, Misconfigured, Reminder
from lifemask.contracts import Failure, FailureCode, RunStalled
from lifemask.trainer.domain.attempt import State
from lifemask.trainer.domain.settling import Step, next_step
from lifemask.trainer.domain.training import Answer
from lifemask.trainer.handlers.messages import AbandonOrdered, AdoptOrdered, Reconcile

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World()


async def lost(world: World, *, made: bool = False, later: tuple[tuple[Answer, bool], ...] = ()) -> World:
    world.trainings.answers = [(Answer.LOST, made), *later]
    await world.handle(world.sealed)
    assert world.attempt.state is State.UNKNOWN
    return world


async def reconciles(world: World) -> list[str]:
    """The search for the newest attempt that searches goes on; time passes until then."""
    index = max(i for i, each in enumerate(world.reminders) if isinstance(each.message, Reconcile))
    return kinds(await world.fire(index))


async def reconciles_until(world: World, wanted: str) -> list[str]:
    for _ in range(40):
        if wanted in (out := await reconciles(world)):
            return out
    raise AssertionError(f"no {wanted}")


def states(world: World) -> list[State]:
    return [world.attempts.rows[key].state for key in sorted(world.attempts.rows)]


def stalls(world: World) -> list[str]:
    return [event.failure.code for event in world.events if isinstance(event, RunStalled)]


async def test_two_clean_listings_ten_minutes_apart_and_it_is_paid_again(world: World) -> None:
    await lost(world)
    assert await reconciles_until(world, "TrainingStarted") == ["Adopt", "TrainingStarted", "Look"]
    assert states(world) == [State.ABANDONED, State.RUNNING]
    first, second = (world.attempts.rows[world.id(number)] for number in (1, 2))
    assert first.archive_path != second.archive_path
    assert first.clean_since is not None
    assert second.intended_at - first.clean_since >= timedelta(minutes=10)
    assert list(world.trainings.posts.values()) == [1, 1]
    assert stalls(world) == ["training_unknown"]
    assert [what for what, _ in world.chain.sealed] == ["training", "training"]
    watches = [each for each in world.reminders if kinds([each]) == ["Watch"]]
    assert [watch.control for watch in watches] == [True]


async def test_the_gate_stands_before_the_second_call_as_well(world: World) -> None:
    await lost(world)
    world.chain.problem = Failure.of(FailureCode.CUSTODY_BROKEN, link="archive")
    out = await reconciles_until(world, "RunFailed")
    assert out == ["RunFailed"]
    assert states(world) == [State.UNKNOWN]
    assert len(world.trainings.orders) == 1


@pytest.mark.parametrize("proof", ["unclean", "away"])
async def test_listings_that_prove_nothing_never_pay_and_an_operator_is_asked_once(world: World, proof: str) -> None:
    await lost(world)
    world.trainings.clean, world.trainings.away = proof != "unclean", proof == "away"
    assert await reconciles_until(world, "Ask") == ["Ask", "RunStalled", "Reconcile"]
    assert timedelta(minutes=30) <= world.now - START < timedelta(minutes=40)
    assert f"lifemask training abandon {world.run['run_id']}" in world.attempts.asked[0]
    for _ in range(20):
        assert await reconciles(world) == ["Reconcile"]
    assert (len(world.attempts.rows), len(world.trainings.orders)) == (1, 1)
    assert stalls(world) == ["training_unsettled"]


async def test_an_archive_that_was_fetched_is_not_paid_for_again(world: World) -> None:
    await lost(world)
    await world.handle(world.fetched())
    await reconciles_until(world, "Ask")
    assert "fetched" in world.attempts.asked[0]
    for _ in range(20):
        await reconciles(world)
    assert len(world.trainings.orders) == 1


async def test_presigned_archives_are_never_paid_for_again_by_themselves(world: World) -> None:
    world.addresses.gateway = False
    await lost(world)
    await reconciles_until(world, "Ask")
    assert "presigned" in world.attempts.asked[0]
    assert len(world.trainings.orders) == 1


async def test_only_so_many_attempts_are_paid(world: World) -> None:
    await lost(world, later=((Answer.LOST, False), (Answer.LOST, False), (Answer.LOST, False)))
    await reconciles_until(world, "Ask")
    assert len(world.trainings.orders) == POLICY.creates == 3
    assert states(world) == [State.ABANDONED, State.ABANDONED, State.UNKNOWN]
    assert "3 paid attempts" in world.attempts.asked[0]


async def test_a_training_that_shows_up_after_the_second_call_is_stopped_and_booked(world: World) -> None:
    await lost(world, made=True)
    world.trainings.lagging = {"t0"}
    await reconciles_until(world, "TrainingStarted")
    world.trainings.lagging = set()
    watch = next(i for i, each in enumerate(world.reminders) if kinds([each]) == ["Watch"])
    assert kinds(await world.fire(watch)) == ["Spot", "Book", "Watch"]
    assert (world.trainings.held["t0"].status, world.trainings.held["t1"].status) == ("canceled", "starting")
    assert list(world.attempts.bills) == ["t0"]
    assert states(world) == [State.ABANDONED, State.RUNNING]
    await world.handle(world.fetched(attempt=2))
    world.trainings.succeed("t1")
    look = next(i for i, each in enumerate(world.reminders) if kinds([each]) == ["Look"])
    assert kinds(await world.fire(look)) == ["End", "TrainingSucceeded"]


async def test_a_left_attempt_is_looked_for_while_inputs_are_shown(world: World) -> None:
    await lost(world)
    await reconciles_until(world, "TrainingStarted")
    for _ in range(20):
        watch = next(i for i, each in enumerate(world.reminders) if kinds([each]) == ["Watch"])
        assert world.reminders[watch].after <= timedelta(minutes=50)
        await world.fire(watch)


async def test_a_fetch_or_callback_of_a_left_attempt_sets_the_watcher_on_it_at_once(world: World) -> None:
    await lost(world, made=True)
    world.trainings.lagging = {"t0"}
    await reconciles_until(world, "TrainingStarted")
    assert kinds(await world.handle(world.fetched(attempt=1))) == ["Watch"]
    assert kinds(await world.handle(world.callback("t0"))) == ["Spot", "Watch"]


@pytest.mark.parametrize("answer", [Answer.BUSY, Answer.UNSENT, Answer.DENIED])
async def test_a_second_call_that_made_nothing_is_made_again_as_the_same_attempt(world: World, answer: Answer) -> None:
    await lost(world, later=((answer, False),))
    for _ in range(20):
        if len(world.trainings.orders) > 1:
            break
        message = next(each.message for each in world.reminders if isinstance(each.message, Reconcile))
        try:
            await reconciles(world)
        except Misconfigured:  # the bus keeps the message
            world.reminders.append(Later(message, timedelta(0)))
    assert states(world) == [State.ABANDONED, State.INTENDED]
    out = await reconciles_until(world, "TrainingStarted")
    assert out == ["Adopt", "TrainingStarted", "Look"]
    assert states(world)[-1] is State.RUNNING
    assert sum(world.trainings.posts.values()) == 2


async def test_a_crash_inside_the_second_call_is_reconciled_like_the_first(world: World) -> None:
    async def crash() -> None:
        raise RuntimeError("killed")

    await lost(world)
    world.trainings.after_create = crash
    message: Reminder = Reconcile(**world.run, attempt=1)
    for _ in range(20):
        message = next(each.message for each in world.reminders if isinstance(each.message, Reconcile))
        with suppress(RuntimeError):
            await reconciles(world)
        if len(world.trainings.orders) > 1:
            break
    world.trainings.after_create = None
    assert states(world) == [State.ABANDONED, State.CREATING]
    assert kinds(await world.handle(message)) == ["Doubt", "Reconcile"]
    assert kinds(await world.handle(message)) == []  # the second attempt has a search of its own
    assert await reconciles(world) == ["Adopt", "TrainingStarted", "Look"]
    assert sum(world.trainings.posts.values()) == 2


async def test_a_run_that_ends_meanwhile_is_not_paid_for_again(world: World) -> None:
    await lost(world)
    world.end()
    assert await reconciles(world) == []
    assert len(world.trainings.orders) == 1


def adopt(world: World, training: str, attempt: int = 1) -> AdoptOrdered:
    return AdoptOrdered(**world.run, attempt=attempt, training=training, order="order")


def abandon(world: World, attempt: int = 1) -> AbandonOrdered:
    return AbandonOrdered(**world.run, attempt=attempt, order="order")


async def test_an_operator_names_the_training(world: World) -> None:
    await lost(world, made=True)
    world.trainings.lagging = {"t0"}
    assert kinds(await world.handle(adopt(world, "t0"))) == ["Answered", "Adopt", "TrainingStarted", "Look"]
    assert (world.attempts.answers["order"], states(world)) == ("adopted", [State.RUNNING])
    assert await reconciles(world) == []


async def test_an_operator_cannot_adopt_what_is_not_the_attempts(world: World) -> None:
    await lost(world)
    world.trainings.make("https://lifemask.test/v1/objects/of-another-run")
    world.trainings.make(world.attempt.plan.archive_url)
    world.trainings.held["t1"] = replace(world.trainings.held["t1"], archive_path=None)
    for training, why in (("t0", "another archive"), ("t1", "no longer shows"), ("t9", "knows no such")):
        assert kinds(await world.handle(adopt(world, training))) == ["Answered"]
        assert why in world.attempts.answers["order"]
    world.trainings.away = True
    await world.handle(adopt(world, "t0"))
    assert "does not answer" in world.attempts.answers["order"]
    await world.handle(adopt(world, "t0", attempt=2))
    assert "unknown any more" in world.attempts.answers["order"]
    assert states(world) == [State.UNKNOWN]


async def test_an_operator_gives_an_attempt_up_and_the_run_is_paid_again(world: World) -> None:
    await lost(world)
    world.trainings.clean = False
    await reconciles_until(world, "Ask")
    assert kinds(await world.handle(abandon(world))) == ["Answered", "Adopt", "TrainingStarted", "Look"]
    assert (world.attempts.answers["order"], states(world)) == ("abandoned", [State.ABANDONED, State.RUNNING])
    assert kinds(await world.handle(abandon(world))) == ["Answered"]
    assert len(world.trainings.orders) == 2


async def test_an_abandoned_attempt_of_a_presigned_archive_ends_the_run(world: World) -> None:
    world.addresses.gateway = False
    await lost(world)
    failed = failure_of(await world.handle(abandon(world)))
    assert (failed.failure.code, world.attempts.answers["order"]) == ("training_unsettled", "run_failed")
    assert len(world.trainings.orders) == 1


async def test_an_order_that_meets_a_busy_provider_goes_on_by_itself(world: World) -> None:
    await lost(world, later=((Answer.BUSY, False),))
    assert kinds(await world.handle(abandon(world))) == ["Answered", "Reconcile"]
    assert world.reminders[-1].after >= 7 * SECOND
    assert await reconciles(world) == ["Adopt", "TrainingStarted", "Look"]


@pytest.mark.parametrize(
    ("minutes", "clean", "expected"),
    [
        (5, True, Step.LOOK_AGAIN),
        (9.9, True, Step.LOOK_AGAIN),
        (10, True, Step.PAY_AGAIN),
        (10, False, Step.LOOK_AGAIN),
        (29, False, Step.LOOK_AGAIN),
        (30, False, Step.ASK),
        (600, True, Step.PAY_AGAIN),
    ],
)
async def test_what_follows_a_listing(world: World, minutes: float, expected: Step, *, clean: bool) -> None:
    await lost(world)
    attempt = replace(world.attempt, clean_since=START, doubted_at=START)
    assert next_step(attempt, [attempt], START + minutes * MINUTE, POLICY, clean=clean) is expected
    never = replace(attempt, clean_since=None)
    assert next_step(never, [never], START + 10 * MINUTE, POLICY, clean=True) is Step.LOOK_AGAIN
    asked = replace(attempt, asked=True)
    assert next_step(asked, [asked], START + 60 * MINUTE, POLICY, clean=False) is Step.LOOK_AGAIN
