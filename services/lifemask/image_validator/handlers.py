"""Each photo is judged when it arrives; an accepted run is decided on its sealed set alone."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from lifemask.bus.outcomes import Keep, Outcome, RunEnded, Turn, on
from lifemask.contracts import (
    Failure,
    FailureCode,
    PhotoJudged,
    PhotoReceived,
    PhotoRemoved,
    PhotosValidated,
    PhotoVerdict,
    RunAccepted,
    RunCanceled,
    RunFailed,
    RunRejected,
    Stage,
)
from lifemask.image_validator.domain.album import (
    Album,
    Damaged,
    Decided,
    Photo,
    Sealed,
    SealedPhoto,
    Terms,
    appraise,
    changed,
    compare,
    contradicts,
    gone,
    is_judged,
    matches,
    usable_of,
)
from lifemask.image_validator.domain.photo import Policy, Quota
from lifemask.image_validator.ports import Custody, Gallery, Imaging, Photos

_LOG: Final = structlog.get_logger(__name__)

AT_ONCE = 4
"""Photos of a sealed set under way; the imaging threads bound what is decoded at a time."""


async def judge_photo(
    event: PhotoReceived, *, chain: Custody, gallery: Gallery, imaging: Imaging, photos: Photos, policy: Policy
) -> Sequence[Outcome]:
    album = await photos.of_run(event.user_id, event.run_id)
    if album.decided or event.photo_id in album.photos:
        return []
    data = await gallery.original(event.user_id, event.run_id, event.photo_id)
    if data is None:  # removed meanwhile, or the draft is gone; a sealed set would be missed at RunAccepted
        return []
    seen = await imaging.examine(data)
    bound = seen.original is None or await chain.holds(event, seen.original)
    photo = appraise(
        event.user_id, event.run_id, event.photo_id, album.next_place, seen, terms=_terms(policy, imaging), bound=bound
    )
    if photo.clean and seen.clean:
        await gallery.keep_clean(photo, seen.clean)
    news = _told(changed(compare([*album.present, photo], policy), album.photos))
    return news if bound else [*news, Keep(Damaged(event.user_id, event.run_id, event.photo_id))]


async def remove_photo(event: PhotoRemoved, *, gallery: Gallery, photos: Photos, policy: Policy) -> Sequence[Outcome]:
    album = await photos.of_run(event.user_id, event.run_id)
    if album.decided:
        return []
    known = album.photos.get(event.photo_id) or gone(event.user_id, event.run_id, event.photo_id, album.next_place)
    removed = replace(known, removed=True, similar_to=None)
    await gallery.forget(removed)
    others = [photo for photo in album.present if photo.photo_id != event.photo_id]
    return [Keep(removed), *_told(changed(compare(others, policy), album.photos))]


async def decide_on_set(
    event: RunAccepted,
    *,
    chain: Custody,
    gallery: Gallery,
    imaging: Imaging,
    photos: Photos,
    policy: Policy,
    quota: Quota,
    turn: Turn,
) -> Sequence[Outcome]:
    sealed = await chain.uploaded(event, turn.got_at)
    if isinstance(sealed, Failure):
        return [_failed(event, sealed)]
    before = await chain.sealed_before(event, turn.got_at)
    if isinstance(before, Failure):
        return [_failed(event, before)]
    if before is not None:
        return await _repeat(event, before, photos)
    if len(sealed) > quota.most:
        return [_refused(event, len(sealed), quota)]
    album = await photos.of_run(event.user_id, event.run_id)
    if swapped := _swapped(sealed, album, policy):
        return [_failed(event, swapped)]
    terms = _terms(policy, imaging)
    missing = [one for one in sealed if not is_judged(album.photos.get(one.photo_id), one, policy, terms)]
    made_good = await _make_good(event, missing, album, gallery=gallery, imaging=imaging, policy=policy, turn=turn)
    if isinstance(made_good, Failure):
        return [_failed(event, made_good)]
    known = {**album.photos, **made_good}
    judged = compare([known[one.photo_id] for one in sealed], policy)
    fresh = changed(judged, known)
    news = _told(fresh)
    await _set_down(judged, gallery)
    if len(usable_of(judged)) < quota.least:
        return [*news, _rejected(event, judged, quota)]
    if fresh:
        await turn.commit(*(Keep(photo) for photo in fresh))
    statement = await chain.seal(event, sealed, judged, terms=terms, at=turn.got_at)
    if isinstance(statement, Failure):
        return [_failed(event, statement)]
    done = Sealed(statement, len(judged), len(usable_of(judged)))
    return [*news, Keep(Decided(event.user_id, event.run_id)), _validated(event, done)]


async def forget_run(event: RunCanceled) -> Sequence[Outcome]:
    """A draft that ended elsewhere: photos that are still to come are not looked at."""
    return [Keep(Decided(event.user_id, event.run_id))]


def close_run(ended: RunEnded) -> Sequence[Keep]:
    """With the run's end here, its photos are settled."""
    return [Keep(Decided(ended.user_id, ended.run_id))]


async def _repeat(event: RunAccepted, sealed: Sealed, photos: Photos) -> list[Outcome]:
    """What an earlier try sealed stays, whatever the thresholds are now; it stored its judgements before it sealed."""
    album = await photos.of_run(event.user_id, event.run_id)
    news = _told(photo for photo in album.present if not photo.told)
    return [*news, Keep(Decided(event.user_id, event.run_id)), _validated(event, sealed)]


async def _make_good(
    event: RunAccepted,
    missing: Sequence[SealedPhoto],
    album: Album,
    *,
    gallery: Gallery,
    imaging: Imaging,
    policy: Policy,
    turn: Turn,
) -> dict[str, Photo] | Failure:
    """Judges sealed photos of which no judgement is stored, a few at a time; each few are stored at once, so that a
    crash loses little. Topics have no common order: a photo's own event may come after that of its run.
    """
    terms = _terms(policy, imaging)

    async def develop(one: SealedPhoto, place: int) -> Photo | Failure:
        data = await gallery.original(event.user_id, event.run_id, one.photo_id)
        seen = await imaging.examine(data) if data is not None else None
        if seen is None or not matches(seen.original, one, policy):
            return _differs(one, seen.original if seen else None)
        photo = appraise(event.user_id, event.run_id, one.photo_id, place, seen, terms=terms, bound=True)
        if photo.clean and seen.clean:
            await gallery.keep_clean(photo, seen.clean)
        return photo

    made: dict[str, Photo] = {}
    for start in range(0, len(missing), AT_ONCE):
        few = missing[start : start + AT_ONCE]
        await turn.check()
        results = await asyncio.gather(*(develop(one, album.next_place + start + n) for n, one in enumerate(few)))
        for result in results:
            if isinstance(result, Failure):
                return result
            made[result.photo_id] = result
        await turn.commit(*(Keep(made[one.photo_id]) for one in few))
    return made


def _terms(policy: Policy, imaging: Imaging) -> Terms:
    return Terms(policy.digest, imaging.encoder)


def _swapped(sealed: Sequence[SealedPhoto], album: Album, policy: Policy) -> Failure | None:
    """The first sealed photo under whose id other bytes were judged."""
    for one in sealed:
        known = album.photos.get(one.photo_id)
        if contradicts(known, one, policy):
            return _differs(one, known.original if known else None)
    return None


def _differs(sealed: SealedPhoto, found: str | None) -> Failure:
    link = "original: missing or differs"
    _LOG.error("custody_broken", photo=sealed.photo_id, link=link, expected=sealed.sha256, found=found)
    return Failure.of(FailureCode.CUSTODY_BROKEN, link=link)


def _told(photos: Iterable[Photo]) -> list[Outcome]:
    """What is new about these photos: to the rows, to the world."""
    return [news for photo in photos for news in (Keep(replace(photo, told=True)), _judged(photo))]


async def _set_down(judged: Sequence[Photo], gallery: Gallery) -> None:
    """The verdicts on a sealed set go to the store, a few at a time. Those on a draft do not: they change with every
    photo, and a worker that lost its lane would put an old one in place of a new one, or of none.
    """
    for start in range(0, len(judged), AT_ONCE):
        await asyncio.gather(*(gallery.keep_verdict(photo) for photo in judged[start : start + AT_ONCE]))


def _judged(photo: Photo) -> PhotoJudged:
    return PhotoJudged(
        user_id=photo.user_id,
        run_id=photo.run_id,
        photo_id=photo.photo_id,
        usable=photo.usable,
        verdicts=photo.verdicts,
        similar_to=photo.similar_to,
        copy_damaged=not photo.bound,
    )


def _validated(event: RunAccepted, sealed: Sealed) -> PhotosValidated:
    return PhotosValidated(
        **event.run,
        statement=sealed.statement,
        received=sealed.received,
        usable=sealed.usable,
        parameters=event.parameters,
    )


def _rejected(event: RunAccepted, judged: Sequence[Photo], quota: Quota) -> RunRejected:
    received, usable = len(judged), len(usable_of(judged))
    needed = quota.least - usable
    return RunRejected(
        **event.run,
        failure=Failure.of(
            FailureCode.TOO_FEW_USABLE, usable=usable, received=received, minimum=quota.least, needed=needed
        ),
        received=received,
        usable=usable,
        needed=needed,
        photos=tuple(PhotoVerdict(photo_id=one.photo_id, usable=one.usable, verdicts=one.verdicts) for one in judged),
    )


def _refused(event: RunAccepted, received: int, quota: Quota) -> RunRejected:
    reason = f"{received} photos, and at most {quota.most} are taken"
    failure = Failure.of(FailureCode.UPLOAD_REFUSED, reason=reason)
    return RunRejected(**event.run, failure=failure, received=received, usable=0, needed=0)


def _failed(event: RunAccepted, failure: Failure) -> RunFailed:
    return RunFailed(**event.run, stage=Stage.VALIDATE, failure=failure)


HANDLERS = (
    on(PhotoReceived, judge_photo),
    on(PhotoRemoved, remove_photo),
    on(RunAccepted, decide_on_set, brings="run"),
    on(RunCanceled, forget_run),
)
