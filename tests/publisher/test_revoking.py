"""A model is taken back: out of both places, signed, told, and never published again."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.publisher.world import RUN, USER, World, publication, succeeded

from lifemask.bus.outcomes import Keep, Later, Outcome, RunEnded
from lifemask.contracts import ModelRevocationRequested, ModelRevoked, RunFailed, new_id
from lifemask.publisher.domain import Known, Revocation, Revoked, State
from lifemask.publisher.handlers import (
    AGAIN_AFTER,
    HANDLERS,
    LEFTOVERS_AFTER,
    RevokeModel,
    TidyModel,
    withdraw_unless_ready,
)
from lifemask.testkit.events import an_event
from lifemask.testkit.stepping import SteppingTurn, TurnLost, step

MODEL = publication().model_id
REVOKE = RevokeModel(user_id=USER, run_id=RUN)
REASON = "The photos were another person's."


def asked(**changes: object) -> ModelRevocationRequested:
    told = {"user_id": USER, "run_id": RUN, "model_id": MODEL, "reason": REASON, "actor": "kim"}
    return an_event(ModelRevocationRequested, **(told | changes))


async def handle(world: World, message: ModelRevocationRequested | RevokeModel | TidyModel) -> list[Outcome]:
    outcomes = await step(HANDLERS, message, **world.ports)
    world.publications.apply(*outcomes)
    return outcomes


async def published() -> World:
    world = World()
    world.publications.apply(*await step(HANDLERS, succeeded(), turn=world.turn(), **world.ports))
    assert world.state() is State.PUBLISHED
    assert not world.is_empty_outside
    return world


async def test_a_model_goes_from_both_places_and_everybody_is_told() -> None:
    world = await published()
    assert (await handle(world, asked()))[1] == Later(REVOKE, timedelta(0))
    assert world.state() is State.REVOKING
    kept, told, later = await handle(world, REVOKE)
    assert kept == Keep(Revoked(USER, RUN))
    assert told == ModelRevoked(user_id=USER, run_id=RUN, model_id=MODEL, reason=REASON, actor="kim")
    assert later == Later(TidyModel(user_id=USER, run_id=RUN, is_last=True), LEFTOVERS_AFTER)
    assert world.is_empty_outside
    assert world.state() is State.REVOKED
    assert world.chain.revoked == {(MODEL, SteppingTurn().got_at): Revocation(REASON, "kim")}


async def test_asked_twice_it_is_told_once_with_the_first_words() -> None:
    world = await published()
    await handle(world, asked())
    await handle(world, asked(reason="Something else.", actor="lee"))
    [told] = [each for each in await handle(world, REVOKE) if isinstance(each, ModelRevoked)]
    assert (told.reason, told.actor) == (REASON, "kim")
    assert await handle(world, REVOKE) == []
    await handle(world, asked(actor="lee"))
    assert await handle(world, REVOKE) == []
    assert world.publications.row == Known(publication().at(f"{1:040x}"), State.REVOKED, Revocation(REASON, "kim"))
    assert len(world.chain.revoked) == 1


async def test_a_worker_that_dies_before_its_finish_is_repeated_in_full() -> None:
    world = await published()
    await handle(world, asked())
    lost = await step(HANDLERS, REVOKE, **world.ports)
    assert await handle(world, REVOKE) == lost
    assert len(world.chain.revoked) == 1


async def test_while_the_hub_is_away_it_is_tried_again_and_not_told() -> None:
    world = await published()
    await handle(world, asked())
    world.hub.away = True
    delays = []
    message = REVOKE
    for _ in range(20):
        [later] = await handle(world, message)
        assert isinstance(later, Later)
        assert isinstance(later.message, RevokeModel)
        message = later.message
        delays.append(later.after)
    assert delays[:3] == [AGAIN_AFTER, 2 * AGAIN_AFTER, 4 * AGAIN_AFTER]
    assert delays[-1] == timedelta(hours=1)
    assert world.chain.revoked == {}
    world.hub.away = False
    assert any(isinstance(each, ModelRevoked) for each in await handle(world, message))


@pytest.mark.parametrize("changes", [{"model_id": new_id()}, {}])
async def test_what_is_no_model_of_this_run_changes_nothing(changes: dict[str, str]) -> None:
    world = await published() if changes else World()
    assert await handle(world, asked(**changes)) == []


async def test_a_withdrawn_model_stays_withdrawn() -> None:
    world = World()
    world.publications.row = Known(publication(), State.WITHDRAWN)
    await handle(world, asked())
    assert await handle(world, REVOKE) == []
    assert world.state() is State.WITHDRAWN


@pytest.mark.parametrize("looks", [1, 2, 3])
async def test_a_publication_on_its_way_is_stopped_for_ever(looks: int) -> None:
    """A worker stopped in the middle, the revocation came, and the training is delivered again."""
    world = World()
    with pytest.raises(TurnLost):
        await step(HANDLERS, succeeded(), turn=world.turn(lost_after=looks), **world.ports)
    await handle(world, asked())
    await handle(world, REVOKE)
    for epoch in (4, 5):
        [failed] = await step(HANDLERS, succeeded(), turn=world.turn(epoch), **world.ports)
        assert isinstance(failed, RunFailed)
        assert (failed.failure.code, failed.cost_usd) == ("model_revoked", "1.04")
        assert world.is_empty_outside


async def test_the_end_of_a_run_does_not_undo_its_revocation() -> None:
    world = await published()
    await handle(world, asked())
    ended = withdraw_unless_ready(RunEnded(an_event(RunFailed, user_id=USER, run_id=RUN), USER, RUN))
    world.publications.apply(*ended)
    assert world.state() is State.REVOKING


@pytest.mark.parametrize("is_last", [False, True])
async def test_what_a_frozen_worker_leaves_behind_is_removed_as_well(is_last: bool) -> None:
    world = await published()
    await handle(world, asked())
    await handle(world, REVOKE)
    world.store.places["1-3"] = {"weights": b"late"}
    world.hub.repos[f"lifemask/lora-{MODEL}"] = []
    outcomes: Sequence[Outcome] = await handle(world, TidyModel(user_id=USER, run_id=RUN, is_last=is_last))
    assert [type(each) for each in outcomes] == ([Keep] if is_last else [Keep, Later])
    assert world.is_empty_outside
    assert world.state() is State.REVOKED
