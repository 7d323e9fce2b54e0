"""The originals of an earlier run become photos of the run that was made from it, a few at a time.

Each is read from the store and hashed again; it must be the one that was uploaded to the earlier run. Nothing else of
that run is used. The earlier run's originals are not deleted meanwhile (`clearing`): both work in the user's lane.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from lifemask.bus.outcomes import Keep, Later, Misconfigured, Outcome, Retryable, Turn
from lifemask.contracts import Failure, FailureCode, PhotoReceived, RunAccepted, RunFailed, Stage, photo_id_of
from lifemask.ingest.acts.office import Limits
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.restarting import Copied, Unproven, new_ids, prove
from lifemask.ingest.domain.rows import PhotoHere, Submitted
from lifemask.ingest.domain.runs import Run, SealedPhoto, count, missing
from lifemask.ingest.handlers.sealing import SEAL_AGAIN
from lifemask.ingest.ports import ChainSpoiled, Custody, Names, OriginalMissing, Originals, Runs
from lifemask.ingest.receiving import Differs, Received, Receiver, TooLarge, TooSmall
from lifemask.ingest.reminders import BringOver, GiveUp, SealUpload

_LOG: Final = structlog.get_logger(__name__)
_NOW: Final = timedelta(0)


async def bring_over(
    reminder: BringOver,
    *,
    runs: Runs,
    originals: Originals,
    names: Names,
    custody: Custody,
    limits: Limits,
    turn: Turn,
) -> Sequence[Outcome]:
    """Copies the next originals; when all are here, submits the run if it is to submit itself."""
    run = await runs.run(reminder.user_id, reminder.run_id)
    if run is None or run.restarted_from is None or run.facts.slots:
        return []
    await turn.check()
    photos = await runs.photos(run.user_id, run.id)
    coming = [photo for photo in photos if not photo.here]
    if not coming:
        return _submission(run, photos, reminder, limits)
    try:
        earlier = await _earlier(run, runs=runs, custody=custody)
        if len(coming) == len(photos):
            await _copy_names(run, earlier, coming, names)
        proven = prove(run.id, coming, earlier.photos, earlier.sealed)
        copier = _Copier(run, earlier.run, originals, custody)
        return [*await _bring(copier, proven[: limits.takeover_at_once], runs), Later(reminder, _NOW)]
    except Unproven as wrong:
        return [_refused(run, Failure.of(FailureCode.CUSTODY_BROKEN, link=str(wrong)))]
    except ChainSpoiled as spoiled:
        return [_refused(run, spoiled.failure)]
    except (Retryable, Misconfigured) as problem:
        _LOG.warning("restart_postponed", run=run.id, code=problem.code.value)
        return [Later(reminder, SEAL_AGAIN)]


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The run whose originals are copied; `sealed` is its upload statement, None when it ended before there was one."""

    run: Run
    photos: Sequence[Photo]
    sealed: Mapping[str, SealedPhoto] | None


async def _earlier(run: Run, *, runs: Runs, custody: Custody) -> _Earlier:
    """Raises Unproven and ChainSpoiled."""
    earlier = await runs.run(run.user_id, run.restarted_from or "")
    if earlier is None:
        raise Unproven("restart: the earlier run is not known")
    photos = await runs.photos(earlier.user_id, earlier.id)
    accepted, seen = earlier.facts.one(RunAccepted), earlier.facts.at(RunAccepted)
    if accepted is None or seen is None:
        return _Earlier(earlier, photos, None)
    sealed = await custody.uploaded(earlier.user_id, earlier.id, accepted.statement, seen)
    if isinstance(sealed, Failure):
        raise ChainSpoiled(sealed)
    return _Earlier(earlier, photos, sealed)


@dataclass(frozen=True, slots=True)
class _Copier:
    """Copies originals of one run into another of the same user."""

    run: Run
    earlier: Run
    originals: Originals
    custody: Custody

    async def copy(self, one: Copied) -> Received:
        """One original, hashed on the way; the one that was uploaded, or nothing stays of it. Raises Unproven."""
        photo = one.photo
        receiver = Receiver(self.originals, self.custody, photo.bytes, photo.bytes)
        source = self.originals.read(self.earlier.user_id, self.earlier.id, one.source)
        try:
            return await receiver.receive(self.run.user_id, self.run.id, photo.id, source, sha256=photo.sha256)
        except OriginalMissing:
            wrong = "restart: an original is missing"
        except (Differs, TooLarge, TooSmall):
            wrong = "restart: an original differs from its upload"
        _LOG.error("restart_refused", run=self.run.id, earlier=self.earlier.id, photo=one.source, reason=wrong)
        raise Unproven(wrong)


async def _bring(copier: _Copier, few: Sequence[Copied], runs: Runs) -> list[Outcome]:
    """All copies end before one's trouble is told. Raises Unproven, and what the store raises."""
    run = copier.run
    found = await asyncio.gather(*(copier.copy(one) for one in few), return_exceptions=True)
    still = {photo.id for photo in await runs.photos(run.user_id, run.id)}
    outcomes: list[Outcome] = []
    for one, received in zip(few, found, strict=True):
        if isinstance(received, BaseException):
            raise received
        if one.photo.id in still:
            outcomes += _arrived(run, one.photo.id, received)
        else:  # the person took it out while it was on its way
            await copier.originals.remove(run.user_id, run.id, one.photo.id)
    return outcomes


def _arrived(run: Run, photo_id: str, received: Received) -> list[Outcome]:
    event = PhotoReceived(
        user_id=run.user_id, run_id=run.id, photo_id=photo_id, bytes=received.bytes, commitment=received.commitment
    )
    return [Keep(PhotoHere(run.user_id, run.id, photo_id)), event]


async def _copy_names(run: Run, earlier: _Earlier, coming: Sequence[Photo], names: Names) -> None:
    """The person's own file names go with the photos, before the first of them."""
    before = earlier.run
    announced = {photo_id_of(before.id, name): name for name in before.objects}
    known = announced or await names.read(before.user_id, before.id)
    ids = new_ids(run.id, earlier.photos)
    wanted = {photo.id for photo in coming}
    if found := {ids[old]: name for old, name in known.items() if ids.get(old) in wanted}:
        await names.add(run.user_id, run.id, found)


def _submission(run: Run, photos: Sequence[Photo], reminder: BringOver, limits: Limits) -> Sequence[Outcome]:
    """Closes the set first and looks again: what follows a submission may only be said of a submitted run."""
    if run.submitted_at is not None:
        seal = SealUpload(user_id=run.user_id, run_id=run.id)
        give_up = GiveUp(user_id=run.user_id, run_id=run.id)
        return [Later(seal, _NOW), Later(give_up, limits.sealing_deadline, control=True)]
    counts = count(photos)
    if not run.submits or missing(counts, limits.photos_min):
        return []
    row = Submitted(run.user_id, run.id, counts.received, counts.rejected, by_itself=True)
    return [Keep(row), Later(reminder, _NOW)]


def _refused(run: Run, failure: Failure) -> RunFailed:
    return RunFailed(user_id=run.user_id, run_id=run.id, stage=Stage.REQUEST, failure=failure)
