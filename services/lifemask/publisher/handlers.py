"""Trained weights become a published model, or nothing of them stays outside."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

import structlog

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder, Retryable, RunEnded, Turn, on
from lifemask.contracts import (
    Failure,
    FailureCode,
    ModelReady,
    ModelRevocationRequested,
    ModelRevoked,
    RunFailed,
    RunId,
    Stage,
    TrainingSucceeded,
)
from lifemask.publisher.domain import (
    Checked,
    HubNames,
    Intended,
    Publication,
    Published,
    Revocation,
    Revoked,
    Revoking,
    State,
    Trained,
    Withdrawing,
    Withdrawn,
    metadata,
    model_of,
    plan,
)
from lifemask.publisher.ports import Chain, Hub, ModelStore, Publications

_LOG: Final = structlog.get_logger(__name__)

LEFTOVERS_AFTER: Final = timedelta(hours=1)
"""When to look for what a worker, frozen between its last check and its write, put there afterwards."""
AGAIN_AFTER: Final = timedelta(seconds=5)
"""First delay of a revocation that store or hub could not carry out yet; doubles each time, up to an hour."""
_AGAIN_AT_MOST: Final = timedelta(hours=1)


class TidyModel(Reminder):
    """Remove what must not stay outside: everything of a withdrawn or revoked model, the unused places of a
    published one.
    """

    ce_type: ClassVar[str] = "lifemask.publisher.tidy-model.v1"

    run_id: RunId
    is_last: bool = False
    """Whether this is the second look, after which none is ordered."""


class RevokeModel(Reminder):
    """Take back a model whose row says so. `tries` counts the times that store or hub were away."""

    ce_type: ClassVar[str] = "lifemask.publisher.revoke-model.v1"

    run_id: RunId
    tries: int = 0


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
    known = await publications.find(event.user_id, event.run_id)
    if known and known.revocation:
        return [_failed(event, Failure.of(FailureCode.MODEL_REVOKED))]
    trained = await chain.trained(event, turn.got_at)
    if isinstance(trained, Failure):
        return [_failed(event, trained)]
    intended = plan(event.user_id, event.run_id, turn.epoch, names)
    done = known.publication if known and known.is_checked else await _publish(trained, intended, store, hub, turn)
    if isinstance(done, Failure):
        return [_failed(event, done)]
    if problem := await _find_difference(done, trained, store, hub):
        return [_failed(event, problem)]
    await turn.commit(Keep(Checked(done)))
    sealed = await chain.seal(done, trained, turn.got_at)
    if isinstance(sealed, Failure):
        return [_failed(event, sealed)]
    if done.repo is not None and (problem := await hub.attach(done, sealed.file, turn.check)):
        return [_failed(event, problem)]
    tidy = TidyModel(user_id=event.user_id, run_id=event.run_id, is_last=True)
    return [
        Keep(Published(event.user_id, event.run_id)),
        _ready(done, trained, sealed.digest, store.key_of(done)),
        *([Later(tidy, timedelta(0))] if known else []),  # an earlier try left what no statement explains
        Later(tidy, LEFTOVERS_AFTER),
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
    await _remove(publication, store, hub)
    again = reminder.model_copy(update={"is_last": True})
    return [
        Keep(Withdrawn(reminder.user_id, reminder.run_id)),
        *([] if reminder.is_last else [Later(again, LEFTOVERS_AFTER)]),
    ]


async def hear_revocation(event: ModelRevocationRequested, *, publications: Publications) -> Sequence[Outcome]:
    """From here on nothing of the run is published; what is outside goes in a message of its own, tried until it is
    gone. Asked twice, the first words stay. A model that is unknown, or was withdrawn, is not outside anyway.
    """
    known = await publications.find(event.user_id, event.run_id)
    if known is None or known.publication.model_id != event.model_id:
        return []
    revocation = Revocation(event.reason, event.actor)
    return [Keep(Revoking(event.user_id, event.run_id, revocation)), Later(RevokeModel(**event.run), timedelta(0))]


async def revoke_model(
    reminder: RevokeModel, *, chain: Chain, publications: Publications, store: ModelStore, hub: Hub, turn: Turn
) -> Sequence[Outcome]:
    """Out of store and hub, then signed, then told. Every step can be done again, so it goes on after a crash."""
    known = await publications.find(reminder.user_id, reminder.run_id)
    if known is None or known.revocation is None or known.state is not State.REVOKING:
        return []
    try:
        await _remove(known.publication, store, hub)
    except Retryable:  # for as long as it takes: a dead letter would leave a revoked model outside
        again = reminder.model_copy(update={"tries": reminder.tries + 1})
        return [Later(again, min(AGAIN_AFTER * 2 ** min(reminder.tries, 16), _AGAIN_AT_MOST))]
    await chain.seal_revocation(known.publication, known.revocation, turn.got_at)
    user_id, run_id = reminder.user_id, reminder.run_id
    return [
        Keep(Revoked(user_id, run_id)),
        ModelRevoked(
            user_id=user_id,
            run_id=run_id,
            model_id=known.publication.model_id,
            reason=known.revocation.reason,
            actor=known.revocation.actor,
        ),
        Later(TidyModel(user_id=user_id, run_id=run_id, is_last=True), LEFTOVERS_AFTER),
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


async def _remove(publication: Publication, store: ModelStore, hub: Hub) -> None:
    """Everything of the model, in both places."""
    await store.remove(publication.user_id, publication.model_id)
    if publication.repo:
        await hub.remove(publication.repo)


async def _find_difference(publication: Publication, trained: Trained, store: ModelStore, hub: Hub) -> Failure | None:
    """What is published must be what was trained, byte for byte, wherever it is."""
    found = [await store.read_back(publication)]
    if found == [trained.weights] and publication.repo is not None:
        found.append(await hub.read_back(publication, trained.bytes))
    if all(digest == trained.weights for digest in found):
        return None
    _LOG.error("custody_broken", run=publication.run_id, link="publication", expected=trained.weights, found=found)
    return Failure.of(FailureCode.PUBLICATION_DIFFERS)


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
    on(ModelRevocationRequested, hear_revocation),
    on(RevokeModel, revoke_model),
)
