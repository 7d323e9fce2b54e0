"""A validated set of photos becomes one archive."""

from collections.abc import Sequence
from typing import Final

import structlog

from lifemask.bus.outcomes import Outcome, Turn, on
from lifemask.contracts import DatasetSealed, Failure, FailureCode, PhotosValidated, RunFailed, Stage
from lifemask.packager.domain import Minimum, find_problem, find_shortage, plan_archive
from lifemask.packager.ports import Custody, DatasetArchive

_LOG: Final = structlog.get_logger(__name__)


async def seal_dataset(
    event: PhotosValidated, *, chain: Custody, archive: DatasetArchive, minimum: Minimum, turn: Turn
) -> Sequence[Outcome]:
    photos = await chain.validated(event, turn.got_at)
    if isinstance(photos, Failure):
        return [_failed(event, photos)]
    plan = plan_archive(photos, event.statement)
    if shortage := find_shortage(plan, minimum):
        return [_failed(event, shortage)]
    await turn.check()
    if difference := await archive.write(event.user_id, event.run_id, plan):
        return [_failed(event, difference)]
    found = await archive.inspect(event.user_id, event.run_id, plan)
    if problem := find_problem(plan, found):
        return [_failed(event, _swapped(event, problem))]
    statement = await chain.seal(event, plan, found, turn.got_at)
    if isinstance(statement, Failure):
        return [_failed(event, statement)]
    return [
        DatasetSealed(
            **event.run, statement=statement, photos=len(plan), bytes=found.bytes, parameters=event.parameters
        )
    ]


def _swapped(event: PhotosValidated, problem: str) -> Failure:
    """Every photo was compared while it was written: somebody else has written there since."""
    link = "archive: differs from what was written"
    _LOG.error("custody_broken", run=event.run_id, link=link, problem=problem)
    return Failure.of(FailureCode.CUSTODY_BROKEN, link=link)


def _failed(event: PhotosValidated, failure: Failure) -> RunFailed:
    return RunFailed(**event.run, stage=Stage.PACKAGE, failure=failure)


HANDLERS = (on(PhotosValidated, seal_dataset, brings="run"),)
