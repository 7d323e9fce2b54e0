"""Each handler by one message: what came out."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.trainer.fakes import POLICY, SECOND, START, ClaimLost, progress
from tests.trainer.world import World, failure_of, kinds

from lifemask.bus.outcomes import Later, Misconfigured, Retryable
from lifemask.contracts import (
    ArchiveRefusal,
    Failure,
    FailureCode,
    ModelRevoked,
    RunStalled,
    Stage,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.testkit.events import an_event
from lifemask.trainer.domain.attempt import State
from lifemask.trainer.domain.training import Answer
from lifemask.trainer.handlers.messages import Forget


@pytest.fixture
def world() -> World:
    return World()


async def running(world: World, *, fetched: bool = True) -> World:
    await world.handle(world.sealed)
    assert world.attempt.state is State.RUNNING
    if fetched:
        await world.handle(world.fetched())
    return world


async def test_a_sealed_dataset_is_trained(world: World) -> None:
    out = await world.handle(world.sealed)
    assert kinds(out) == ["Adopt", "TrainingStarted", "Look"]
    started = world.events[0]
    assert isinstance(started, TrainingStarted)
    assert (started.training, started.attempt, started.estimated_cost_usd) == ("t0", 1, "1.0401")
    order = world.trainings.orders[0]
    assert (order.steps, order.rank, order.learning_rate, order.trigger_word) == (1000, 16, "0.0001", "TOK")
    assert order.archive_url == world.attempt.plan.archive_url
    assert order.webhook == "https://lifemask.test/v1/callbacks/replicate/1"
    assert world.chain.sealed == [("training", START)]
    assert world.trainings.prepared == 1


async def test_nothing_is_paid_for_an_unproven_dataset(world: World) -> None:
    world.chain.problem = Failure.of(FailureCode.CUSTODY_BROKEN, link="archive")
    out = await world.handle(world.sealed)
    assert kinds(out) == ["RunFailed"]
    assert not world.trainings.orders
    assert not world.attempts.rows


async def test_nothing_is_paid_when_the_training_cannot_be_sealed(world: World) -> None:
    world.chain.unsealed = Failure.of(FailureCode.CUSTODY_BROKEN, link="training")
    out = await world.handle(world.sealed)
    assert kinds(out) == ["RunFailed"]
    assert not world.trainings.orders
    await world.fire()
    assert (world.attempt.state, world.reminders) == (State.CANCELED, [])


@pytest.mark.parametrize(
    ("answer", "expected", "state"),
    [
        (Answer.STARTED, ["Adopt", "TrainingStarted", "Look"], State.RUNNING),
        (Answer.LOST, ["Doubt", "Reconcile"], State.UNKNOWN),
        (Answer.INVALID, ["End", "RunFailed"], State.FAILED),
    ],
)
async def test_answers_that_settle_the_call(world: World, answer: Answer, expected: list[str], state: State) -> None:
    world.trainings.answers = [(answer, answer is not Answer.INVALID)]
    assert kinds(await world.handle(world.sealed)) == expected
    assert world.attempt.state is state


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer.DENIED, FailureCode.PROVIDER_DENIED),
        (Answer.UNPAID, FailureCode.PROVIDER_DENIED),
        (Answer.MISSING, FailureCode.PROVIDER_DENIED),
    ],
)
async def test_answers_that_are_ours_to_repair(world: World, answer: Answer, code: FailureCode) -> None:
    world.trainings.answers = [(answer, False)]
    with pytest.raises(Misconfigured) as raised:
        await world.handle(world.sealed)
    assert raised.value.code is code
    assert world.attempt.state is State.INTENDED
    assert kinds(await world.handle(world.sealed)) == ["Adopt", "TrainingStarted", "Look"]
    assert len(world.attempts.rows) == 1


@pytest.mark.parametrize(("answer", "counts"), [(Answer.BUSY, False), (Answer.UNSENT, True)])
async def test_a_call_that_made_nothing_is_sent_again(world: World, answer: Answer, *, counts: bool) -> None:
    world.trainings.answers = [(answer, False)]
    with pytest.raises(Retryable) as raised:
        await world.handle(world.sealed)
    assert raised.value.counts is counts
    assert raised.value.after == (7 * SECOND if answer is Answer.BUSY else None)
    assert world.attempt.state is State.INTENDED
    first = world.attempt.plan.archive_url
    await world.handle(world.sealed)
    assert (world.attempt.state, world.attempt.plan.archive_url) == (State.RUNNING, first)


async def test_a_crash_inside_the_call_is_never_answered_by_a_second_call(world: World) -> None:
    async def crash() -> None:
        raise RuntimeError("killed")

    world.trainings.after_create = crash
    with pytest.raises(RuntimeError):
        await world.handle(world.sealed)
    assert world.attempt.state is State.CREATING
    assert kinds(await world.handle(world.sealed)) == ["Doubt", "Reconcile"]
    assert kinds(await world.fire()) == ["Adopt", "TrainingStarted", "Look"]
    assert await world.handle(world.sealed) == []
    assert sum(world.trainings.posts.values()) == 1


async def test_two_workers_make_one_call(world: World) -> None:
    frozen, thawed = asyncio.Event(), asyncio.Event()
    seal = world.chain.seal_training

    async def freeze(*args: object) -> object:
        frozen.set()
        await thawed.wait()
        return await seal(*args)  # type: ignore[arg-type]  # passed through

    world.chain.seal_training = freeze  # type: ignore[method-assign,assignment]  # the fake's own switch
    first = asyncio.create_task(world.handle(world.sealed))
    await frozen.wait()
    world.chain.seal_training = seal  # type: ignore[method-assign]  # back again
    await world.handle(world.sealed)
    thawed.set()
    with pytest.raises(ClaimLost):
        await first
    assert sum(world.trainings.posts.values()) == 1


async def test_an_exchanged_trainer_is_a_new_attempt(world: World) -> None:
    world.trainings.answers = [(Answer.MISSING, False)]
    with pytest.raises(Misconfigured):
        await world.handle(world.sealed)
    world.policy = replace(POLICY, trainer="ostris/flux-dev-lora-trainer:" + "f" * 64)
    await world.handle(world.sealed)
    first, second = await world.attempts.of_run(**world.run)
    assert (first.state, second.state) == (State.CANCELED, State.RUNNING)
    assert first.archive_path != second.archive_path


async def test_an_unknown_outcome_is_delayed_and_says_so_once(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, False)]
    await world.handle(world.sealed)
    out = await world.fire()
    assert kinds(out) == ["ListedClean", "RunStalled", "Reconcile"]
    assert isinstance(out[1], RunStalled)
    assert out[1].failure.code == "training_unknown"
    assert kinds(await world.fire()) == ["ListedClean", "Reconcile"]
    assert sum(world.trainings.posts.values()) == 1


async def test_delays_of_reconciling_grow(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, False)]
    world.trainings.clean = False
    await world.handle(world.sealed)
    delays = []
    for _ in range(9):
        delays.append(world.reminders[0].after.total_seconds())
        await world.fire()
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize(("away", "clean"), [(True, True), (False, False)])
async def test_a_listing_that_proves_nothing_counts_nothing(world: World, *, away: bool, clean: bool) -> None:
    world.trainings.answers = [(Answer.LOST, False)]
    await world.handle(world.sealed)
    world.trainings.away, world.trainings.clean = away, clean
    assert kinds(await world.fire()) == ["Reconcile"]
    assert world.attempt.clean_listings == 0


async def test_a_late_listed_training_is_adopted(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, True)]
    world.trainings.lagging = {"t0"}
    await world.handle(world.sealed)
    await world.fire()
    world.trainings.lagging = set()
    assert kinds(await world.fire()) == ["Adopt", "TrainingStarted", "Look"]


async def test_a_training_of_another_archive_is_not_adopted(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, False)]
    await world.handle(world.sealed)
    world.trainings.make(world.attempt.plan.archive_url + "x")
    assert "Adopt" not in kinds(await world.fire())


async def test_a_second_match_is_stopped_and_booked(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, True)]
    await world.handle(world.sealed)
    world.trainings.make(world.attempt.plan.archive_url, created_at=START + SECOND)
    assert kinds(await world.fire()) == ["Adopt", "Spot", "TrainingStarted", "Look", "Watch"]
    assert kinds(await world.fire(1)) == ["Book"]
    assert (world.trainings.held["t0"].status, world.trainings.held["t1"].status) == ("starting", "canceled")
    assert list(world.attempts.bills) == ["t1"]
    assert world.attempt.training == "t0"


async def test_progress_is_told_when_it_changed_and_never_backwards(world: World) -> None:
    await running(world)
    seen = []
    for percent in (10, 10, 5, 20):
        world.trainings.set("t0", "processing", progress=progress(percent))
        seen.append(kinds(await world.fire()))
    told = ["Advance", "TrainingProgressed", "Look"]
    assert seen == [told, ["Look"], ["Look"], told]


async def test_weights_are_copied_and_sealed(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    assert kinds(await world.fire()) == ["End", "TrainingSucceeded"]
    done = world.events[-1]
    assert isinstance(done, TrainingSucceeded)
    assert (done.seconds, done.cost_usd, done.bytes, done.statement) == (682, "1.0408", 172_000_000, "c" * 64)
    assert (world.attempt.state, world.attempt.unbooked, world.reminders) == (State.SUCCEEDED, (), [])


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        ("failed", "training_failed", State.FAILED),
        ("canceled", "training_aborted", State.CANCELED),
        ("aborted", "training_aborted", State.CANCELED),
    ],
)
async def test_an_end_without_weights_fails_the_run(world: World, status: str, code: str, state: State) -> None:
    await running(world, fetched=status != "aborted")
    world.trainings.set("t0", status)
    failed = failure_of(await world.fire())
    assert (failed.failure.code, failed.cost_usd, world.attempt.state) == (code, "0.0000", state)


async def test_unfit_weights_fail_the_run_and_are_paid_for(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    world.weights.results = [Failure.of(FailureCode.WEIGHTS_UNSAFE, problem="header too large")]
    failed = failure_of(await world.fire())
    assert (failed.failure.code, failed.cost_usd, world.attempt.state) == ("weights_unsafe", "1.0408", State.FAILED)


async def test_broken_transfers_are_repeated_within_bounds(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    world.weights.results = [Retryable(FailureCode.PROVIDER_UNAVAILABLE) for _ in range(3)]
    assert kinds(await world.fire()) == ["CopyFailed", "Look"]
    assert kinds(await world.fire()) == ["CopyFailed", "Look"]
    assert failure_of(await world.fire()).failure.code == "weights_unavailable"


async def test_trouble_of_our_own_store_does_not_count_against_the_provider(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    world.weights.results = [Retryable(FailureCode.STORE_UNAVAILABLE)]
    with pytest.raises(Retryable):
        await world.fire()
    assert world.attempt.copy_failures == 0


async def test_a_look_at_an_absent_provider_comes_again(world: World) -> None:
    await running(world)
    world.trainings.away = True
    assert kinds(await world.fire()) == ["Look"]


async def test_a_callback_ends_the_training_and_its_double_does_nothing(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    assert kinds(await world.handle(world.callback("t0"))) == ["End", "TrainingSucceeded"]
    assert await world.handle(world.callback("t0")) == []
    assert await world.fire() == []
    assert len(world.weights.copies) == 1


async def test_callbacks_about_anything_else_do_nothing(world: World) -> None:
    await running(world)
    world.trainings.make("https://lifemask.test/v1/objects/of-another-run", status="succeeded")
    assert await world.handle(world.callback("t1")) == []
    assert await world.handle(world.callback("unheard-of")) == []
    assert await world.handle(world.callback("t0", attempt=2)) == []
    assert await world.handle(world.callback("t0")) == []  # still running


async def test_a_callback_finds_the_training_of_a_lost_reply(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, True)]
    world.trainings.lagging = {"t0"}
    await world.handle(world.sealed)
    assert kinds(await world.handle(world.callback("t0"))) == ["Adopt", "TrainingStarted", "Look"]
    assert await world.fire() == []  # the reconciling that was under way


async def test_a_cancelled_run_is_stopped_booked_and_watched_until_its_url_expired(world: World) -> None:
    await running(world)
    world.end()
    look, watch = world.reminders
    assert (look.control, watch.control) == (False, True)
    assert await world.fire(0) == []
    assert kinds(await world.fire()) == ["End", "Watch"]
    assert world.trainings.held["t0"].status == "canceled"
    assert str(world.attempts.bills["t0"].cost) == "0.1525"
    assert world.reminders[0].after > timedelta(hours=24)
    assert await world.fire() == []
    assert world.reminders == []


async def test_a_lost_reply_of_a_cancelled_run_is_watched_for(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, True)]
    world.trainings.lagging = {"t0"}
    await world.handle(world.sealed)
    world.end()
    world.reminders = world.reminders[1:]
    for _ in range(3):
        assert kinds(await world.fire()) == ["Watch"]
    world.trainings.lagging = set()
    assert kinds(await world.fire()) == ["Adopt", "End", "Watch"]
    assert world.attempt.state is State.CANCELED
    assert list(world.attempts.bills) == ["t0"]


async def test_an_attempt_that_made_nothing_is_given_up_after_its_url_expired(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, False)]
    await world.handle(world.sealed)
    world.end()
    world.reminders = world.reminders[1:]
    for _ in range(60):
        if not world.reminders:
            break
        await world.fire()
    assert (world.attempt.state, world.reminders) == (State.ABANDONED, [])
    assert timedelta(hours=24) < world.now - START < timedelta(hours=27)


async def test_the_watcher_outlasts_an_absent_provider(world: World) -> None:
    await running(world)
    world.end()
    world.trainings.away = True
    for _ in range(12):
        assert kinds(await world.fire(1)) == ["Watch"]
    world.trainings.away = False
    assert kinds(await world.fire(1)) == ["End", "Watch"]


async def test_the_reply_that_comes_after_the_end_is_still_recorded(world: World) -> None:
    async def end_meanwhile() -> None:
        world.end()

    world.trainings.after_create = end_meanwhile
    await world.handle(world.sealed)
    assert [type(event).__name__ for event in world.events] == ["RunCanceled"]
    assert (world.attempt.state, world.attempt.stop, world.attempt.training) == (State.RUNNING, True, "t0")
    watch = next(i for i, each in enumerate(world.reminders) if kinds([each]) == ["Watch"])
    assert kinds(await world.fire(watch)) == ["End", "Watch"]


async def test_a_refused_training_is_not_watched(world: World) -> None:
    world.trainings.answers = [(Answer.INVALID, False)]
    await world.handle(world.sealed)
    assert kinds(world.reminders) == ["Watch"]
    assert await world.fire() == []
    assert world.reminders == []


async def test_a_training_gone_from_the_provider_is_closed_when_its_url_expired(world: World) -> None:
    await running(world)
    world.end()
    world.trainings.held.clear()
    world.reminders = world.reminders[1:]
    for _ in range(60):
        if world.reminders:
            await world.fire()
    assert (world.attempt.state, world.attempts.bills["t0"].ended_as) == (State.CANCELED, "gone")


async def test_verified_fetches_are_counted_for_the_statement(world: World) -> None:
    await running(world)
    assert kinds(await world.handle(world.fetched())) == ["Fetched"]
    assert world.attempt.fetches == 2
    world.trainings.succeed("t0")
    await world.fire()
    assert await world.handle(world.fetched()) == []
    assert (world.attempt.state, world.attempt.fetches) == (State.SUCCEEDED, 2)


@pytest.mark.parametrize("why", list(ArchiveRefusal))
async def test_a_withheld_archive_ends_the_run_and_stops_the_training(world: World, why: ArchiveRefusal) -> None:
    await running(world, fetched=False)
    failed = failure_of(await world.handle(world.fetched(why)))
    assert (failed.failure.code, failed.stage) == ("custody_broken", Stage.TRAIN)
    assert "archive" in failed.failure.what
    assert kinds(await world.fire(1)) == ["End", "Watch"]
    assert world.trainings.held["t0"].status == "canceled"
    assert await world.handle(world.fetched(why)) == []


async def test_a_withheld_archive_ends_the_run_also_after_a_true_fetch_and_a_lost_answer(world: World) -> None:
    world.trainings.answers = [(Answer.LOST, True)]
    await world.handle(world.sealed)
    await world.handle(world.fetched())
    assert failure_of(await world.handle(world.fetched(ArchiveRefusal.OTHER_BYTES))).failure.code == "custody_broken"
    watch = next(i for i, each in enumerate(world.reminders) if kinds([each]) == ["Watch"])
    assert kinds(await world.fire(watch)) == ["Adopt", "End", "Watch"]


async def test_fetches_of_what_is_not_ours_do_nothing(world: World) -> None:
    assert await world.handle(world.fetched(ArchiveRefusal.MISSING)) == []
    await running(world)
    assert await world.handle(world.fetched(ArchiveRefusal.MISSING, attempt=2)) == []


async def test_a_success_without_a_fetch_is_looked_at_again_and_then_believed_no_more(world: World) -> None:
    await running(world, fetched=False)
    world.trainings.succeed("t0")
    delays = []
    for _ in range(4):
        assert kinds(await world.fire()) == ["Look"]
        delays.append(world.reminders[0].after.total_seconds())
        assert await world.handle(world.callback("t0")) == []
    assert delays == [5, 10, 20, 40]
    failed = failure_of(await world.fire())
    assert (failed.failure.code, failed.cost_usd) == ("custody_broken", "1.0408")
    assert (world.attempt.state, world.weights.copies) == (State.FAILED, [])
    assert "weights" not in [what for what, _ in world.chain.sealed]


async def test_a_record_that_comes_late_is_waited_for(world: World) -> None:
    await running(world, fetched=False)
    world.trainings.succeed("t0")
    await world.fire()
    await world.handle(world.fetched())
    assert kinds(await world.fire()) == ["End", "TrainingSucceeded"]


async def test_a_training_that_failed_on_our_refusal_is_our_failure(world: World) -> None:
    await running(world, fetched=False)
    world.trainings.set("t0", "failed")
    assert kinds(await world.fire()) == ["Look"]
    refused = world.fetched(ArchiveRefusal.OTHER_BYTES)
    assert failure_of(await world.handle(refused)).failure.code == "custody_broken"


async def test_a_training_that_failed_before_it_fetched_is_the_providers_failure(world: World) -> None:
    await running(world, fetched=False)
    world.trainings.set("t0", "failed")
    assert [kinds(await world.fire()) for _ in range(2)] == [["Look"], ["Look"]]
    assert failure_of(await world.fire()).failure.code == "training_failed"


async def test_presigned_archives_are_trained_on_without_a_record(world: World) -> None:
    world.addresses.gateway = False
    await running(world, fetched=False)
    world.trainings.succeed("t0")
    assert kinds(await world.fire()) == ["End", "TrainingSucceeded"]
    assert world.attempt.fetches == 0


async def test_weights_sealed_again_after_a_crash_say_the_same_count(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    later = world.reminders.pop(0)
    await world.handle(later.message, finishes=False)
    await world.handle(world.fetched())
    await world.handle(later.message)
    assert (world.attempt.state, world.attempt.fetches) == (State.SUCCEEDED, 1)


async def test_a_revoked_model_is_deleted_at_the_provider(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    await world.handle(world.callback("t0"))
    assert world.attempt.version == "acme/loras:v1"
    world.trainings.set("t0", "succeeded", version=None)  # outputs vanish after an hour
    out = await world.handle(an_event(ModelRevoked, **world.run))
    assert out == [Later(Forget(**world.run), timedelta(0), control=True)]
    for _ in range(2):
        assert kinds(await world.handle(Forget(**world.run))) == ["Forgotten"]
    assert world.trainings.deleted == ["acme/loras:v1"] * 2
    assert world.attempts.forgotten == {world.id()}


async def test_a_further_training_is_deleted_as_well_and_a_running_one_has_nothing(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    await world.handle(world.callback("t0"))
    world.trainings.make(world.attempt.plan.archive_url, status="succeeded", version="acme/loras:v2")
    world.trainings.make(world.attempt.plan.archive_url)
    for training in ("t1", "t2"):
        await world.handle(world.callback(training))
    await world.handle(Forget(**world.run))
    assert world.trainings.deleted == ["acme/loras:v1", "acme/loras:v2"]


async def test_a_provider_that_is_away_is_asked_to_delete_again(world: World) -> None:
    await running(world)
    world.trainings.succeed("t0")
    await world.handle(world.callback("t0"))
    world.trainings.away = True
    message, delays = Forget(**world.run), []
    for _ in range(15):
        [later] = await world.handle(message)
        assert isinstance(later, Later)
        assert isinstance(later.message, Forget)
        assert later.control
        message = later.message
        delays.append(later.after)
    assert delays == [POLICY.watches.delay(tries) for tries in range(1, 16)]
    assert world.attempts.forgotten == set()
    world.trainings.away = False
    await world.handle(message)
    assert world.trainings.deleted == ["acme/loras:v1"]
    assert world.attempts.forgotten == {world.id()}


async def test_a_run_that_never_trained_has_nothing_to_delete(world: World) -> None:
    await world.handle(Forget(**world.run))
    assert world.trainings.deleted == []
