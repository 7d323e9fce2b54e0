"""Trained weights become a published model, or nothing of them stays outside."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder, RunEnded, Turn, on
from lifemask.contracts import Failure, FailureCode, ModelReady, RunFailed, RunId, Stage, TrainingSucceeded
from lifemask.publisher.domain import (
    Checked,
    HubNames,
    Intended,
    Publication,
    Published,
    State,
    Trained,
    Withdrawing,
    Withdrawn,
    metadata,
    model_of,
    plan,
)
from lifemask.publisher.ports import Chain, Hub, ModelStore, Publications

LEFTOVERS_AFTER: Final = timedelta(hours=1)
"""When to look for what a worker, frozen between its last check and its write, put there afterwards."""


class TidyModel(Reminder):
    """Remove what must not stay outside: everything of a withdrawn model, the unused places of a published one."""

    ce_type: ClassVar[str] = "lifemask.publisher.tidy-model.v1"

    run_id: RunId
    is_last: bool = False
    """Whether this is the second look, after which none is ordered."""


async def publish_model(
    event: TrainingSucceeded,
    *,
    chain: Chain,
    publications: Publications,
    store: ModelStore,
    hub: Hub,
    names: HubNames,
    turn: Turn,
) -> Sequence[Outcome]:
    """The gate, the two places, the comparison, the statement, the news: in this order."""
    trained = await chain.trained(event, turn.got_at)
    if isinstance(trained, Failure):
        return [_failed(event, trained)]
    known = await publications.find(event.user_id, event.run_id)
    intended = plan(event.user_id, event.run_id, turn.epoch, names)
    done = known.publication if known and known.is_checked else await _publish(trained, intended, store, hub, turn)
    if isinstance(done, Failure):
        return [_failed(event, done)]
    if problem := await _find_difference(done, trained, store, hub):
        return [_failed(event, problem)]
    await turn.commit(Keep(Checked(done)))
    statement = await chain.seal(done, trained, turn.got_at)
    if isinstance(statement, Failure):
        return [_failed(event, statement)]
    return [
        Keep(Published(event.user_id, event.run_id)),
        _ready(done, trained, statement, store.key_of(done)),
        Later(TidyModel(user_id=event.user_id, run_id=event.run_id, is_last=True), LEFTOVERS_AFTER),
    ]


async def tidy_model(
    reminder: TidyModel, *, publications: Publications, store: ModelStore, hub: Hub
) -> Sequence[Outcome]:
    """Runs in the user's lane, so that no worker publishes beside it; also after the run is over."""
    known = await publications.find(reminder.user_id, reminder.run_id)
    if known is None or known.state is State.INTENDED:
        return []
    publication = known.publication
    if known.state is State.PUBLISHED:
        await store.remove(publication.user_id, publication.model_id, but=publication.place)
        return []
    await store.remove(publication.user_id, publication.model_id)
    if publication.repo:
        await hub.remove(publication.repo)
    again = reminder.model_copy(update={"is_last": True})
    return [
        Keep(Withdrawn(reminder.user_id, reminder.run_id)),
        *([] if reminder.is_last else [Later(again, LEFTOVERS_AFTER)]),
    ]


def withdraw_unless_ready(ended: RunEnded) -> Sequence[Later | Keep]:
    """Part of the transaction that ends a run here: any other end than a model orders its withdrawal."""
    if isinstance(ended.terminal, ModelReady):
        return []
    return [
        Keep(Withdrawing(ended.user_id, ended.run_id, model_of(ended.user_id, ended.run_id))),
        Later(TidyModel(user_id=ended.user_id, run_id=ended.run_id), timedelta(0)),
    ]


async def _publish(
    trained: Trained, publication: Publication, store: ModelStore, hub: Hub, turn: Turn
) -> Publication | Failure:
    """All outside writes, each behind a look at lane and run."""
    await turn.commit(Keep(Intended(publication)))
    if problem := await store.copy_weights(publication, trained):
        return problem
    await turn.check()
    await store.put_metadata(publication, metadata(publication, trained, turn.got_at))
    if publication.repo is None:
        return publication
    await turn.check()
    if problem := await hub.create(publication.repo):
        return problem
    commit = await hub.commit(publication, trained, turn.check)
    return commit if isinstance(commit, Failure) else publication.at(commit)


async def _find_difference(publication: Publication, trained: Trained, store: ModelStore, hub: Hub) -> Failure | None:
    """What is published must be what was trained, byte for byte, wherever it is."""
    found = [await store.read_back(publication)]
    if publication.repo is not None:
        found.append(await hub.read_back(publication))
    same = all(digest == trained.weights for digest in found)
    return None if same else Failure.of(FailureCode.PUBLICATION_DIFFERS)


def _ready(publication: Publication, trained: Trained, statement: str, store_key: str) -> ModelReady:
    return ModelReady(
        user_id=publication.user_id,
        run_id=publication.run_id,
        model_id=publication.model_id,
        statement=statement,
        version=publication.place,
        weights=trained.weights,
        bytes=trained.bytes,
        store_key=store_key,
        hub_repo=publication.repo,
        hub_commit=publication.hub_commit,
    )


def _failed(event: TrainingSucceeded, failure: Failure) -> RunFailed:
    """The training is paid all the same."""
    return RunFailed(**event.run, stage=Stage.PUBLISH, failure=failure, cost_usd=event.cost_usd)


HANDLERS = (
    on(TrainingSucceeded, publish_model, brings="run"),
    on(TidyModel, tidy_model),
)
