"""One event in, what came out; and nothing left outside when the run ends early."""

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.publisher.world import DIGEST, RUN, USER, World, publication, succeeded

from lifemask.bus.outcomes import Keep, Later, Outcome, RunEnded
from lifemask.contracts import Failure, FailureCode, ModelReady, RunCanceled, RunFailed, Stage
from lifemask.publisher.domain import HubNames, Known, Publication, Published, State
from lifemask.publisher.handlers import HANDLERS, LEFTOVERS_AFTER, TidyModel, withdraw_unless_ready
from lifemask.testkit.events import an_event
from lifemask.testkit.stepping import TurnLost, step

REPO = f"lifemask/lora-{publication().model_id}"
TIDY = TidyModel(user_id=USER, run_id=RUN)


async def publish(world: World, *, epoch: int = 3, lost_after: int | None = None) -> list[Outcome]:
    return await step(HANDLERS, succeeded(), turn=world.turn(epoch, lost_after), **world.ports)


async def tidy(world: World, reminder: TidyModel = TIDY) -> Sequence[Outcome]:
    outcomes = await step(HANDLERS, reminder, **world.ports)
    world.publications.apply(*outcomes)
    return outcomes


def end(world: World, terminal: type[RunCanceled] | type[RunFailed] = RunCanceled) -> Sequence[Later | Keep]:
    event = an_event(terminal, user_id=USER, run_id=RUN)
    outcomes = withdraw_unless_ready(RunEnded(event, USER, RUN))
    world.publications.apply(*outcomes)
    return outcomes


async def test_a_training_becomes_a_model_in_both_places() -> None:
    world = World()
    kept, ready, later = await publish(world)
    assert kept == Keep(Published(USER, RUN))
    assert isinstance(ready, ModelReady)
    assert (ready.version, ready.weights, ready.hub_repo, ready.hub_commit) == ("1-3", DIGEST, REPO, f"{1:040x}")
    assert ready.store_key == f"users/{USER}/models/{ready.model_id}/1-3/lora.safetensors"
    assert later == Later(TidyModel(user_id=USER, run_id=RUN, is_last=True), LEFTOVERS_AFTER)
    assert world.store.writes == ["weights", "metadata"]
    assert json.loads(world.store.places["1-3"]["metadata"])["name"] == "My portrait"


async def test_without_the_hub_the_model_store_alone_has_it() -> None:
    world = World(names=HubNames())
    _, ready, _ = await publish(world)
    assert isinstance(ready, ModelReady)
    assert (ready.hub_repo, ready.hub_commit) == (None, None)
    assert world.hub.repos == {}


async def test_nothing_is_written_before_the_chain_holds() -> None:
    world = World()
    world.chain.problem = Failure.of(FailureCode.CUSTODY_BROKEN, link="dataset")
    [failed] = await publish(world)
    assert isinstance(failed, RunFailed)
    assert (failed.stage, failed.failure.code, failed.cost_usd) == (Stage.PUBLISH, "custody_broken", "1.04")
    assert world.is_empty_outside
    assert world.publications.row is None


async def test_weights_that_are_gone_fail_the_run() -> None:
    world = World()
    world.store.weights = None
    [failed] = await publish(world)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "object_missing"


async def test_what_the_hub_calls_invalid_fails_the_run() -> None:
    world = World()
    world.hub.refuses = True
    [failed] = await publish(world)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "publication_refused"


@pytest.mark.parametrize("place", ["store", "hub"])
async def test_other_bytes_in_a_place_are_never_announced(place: str) -> None:
    world = World()
    if place == "store":
        world.store.weights = b"other weights"
    else:
        world.hub.answers = "0" * 64
    [failed] = await publish(world)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "publication_differs"
    end(world, RunFailed)
    await tidy(world)
    assert world.is_empty_outside


async def test_a_redelivery_after_the_comparison_seals_the_same_statement() -> None:
    world = World()
    _, first, _ = await publish(world, epoch=3)
    _, again, *_ = await publish(world, epoch=4)
    assert first == again
    assert list(world.store.places) == ["1-3"]
    assert world.hub.repos == {REPO: [DIGEST]}


async def test_a_redelivery_before_the_comparison_writes_a_place_of_its_own() -> None:
    world = World()
    with pytest.raises(TurnLost):
        await publish(world, epoch=3, lost_after=2)
    _, ready, soon, later = await publish(world, epoch=4)
    assert isinstance(ready, ModelReady)
    assert ready.version == "1-4"
    assert isinstance(soon, Later)
    assert isinstance(later, Later)
    assert (soon.message, soon.after, later.after) == (later.message, timedelta(0), timedelta(hours=1))
    assert sorted(world.store.places) == ["1-3", "1-4"]
    world.publications.apply(Keep(Published(USER, RUN)))
    assert await tidy(world) == []
    assert list(world.store.places) == ["1-4"]


@pytest.mark.parametrize("looks", range(6))
async def test_a_run_that_ends_at_any_step_leaves_nothing_outside(looks: int) -> None:
    world = World()
    if looks < 5:
        with pytest.raises(TurnLost):
            await publish(world, lost_after=looks)
    else:
        await publish(world)  # its finish comes too late: the outcomes are dropped but for the rows
    ordered = end(world)
    assert ordered[-1] == Later(TIDY, timedelta(0))
    world.publications.apply(Keep(Published(USER, RUN)))
    assert world.state() is State.WITHDRAWING
    outcomes = await tidy(world)
    assert outcomes[-1] == Later(TIDY.model_copy(update={"is_last": True}), LEFTOVERS_AFTER)
    assert world.state() is State.WITHDRAWN
    assert world.is_empty_outside


async def test_what_a_frozen_worker_leaves_is_removed_at_the_second_look() -> None:
    world = World()
    with pytest.raises(TurnLost):
        await publish(world, lost_after=1)
    end(world)
    await tidy(world)
    world.store.places["1-3"] = {"weights": b"late"}
    world.hub.repos[REPO] = []
    last = TIDY.model_copy(update={"is_last": True})
    assert [type(outcome) for outcome in await tidy(world, last)] == [Keep]
    assert world.is_empty_outside


async def test_a_model_that_is_ready_is_not_withdrawn() -> None:
    ready = an_event(ModelReady, user_id=USER, run_id=RUN)
    assert withdraw_unless_ready(RunEnded(ready, USER, RUN)) == []


@pytest.mark.parametrize("state", [None, State.INTENDED])
async def test_nothing_is_tidied_while_the_run_goes_on(state: State | None) -> None:
    world = World()
    world.store.places["1-3"] = {}
    if state:
        world.publications.row = Known(publication(), state)
    assert await tidy(world) == []
    assert list(world.store.places) == ["1-3"]


async def test_a_run_cancelled_before_it_was_looked_at_is_never_published() -> None:
    world = World()
    end(world)
    model_id = publication().model_id
    assert world.publications.row == Known(Publication(USER, RUN, model_id, ""), State.WITHDRAWING)
    await tidy(world)
    assert world.is_empty_outside
