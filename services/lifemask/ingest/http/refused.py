"""The problem document of each refusal of an act."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from lifemask.ingest.acts import refusals
from lifemask.ingest.domain.restarting import Hindrance
from lifemask.ingest.domain.status import Status
from lifemask.ingest.http.problems import RETRY_AFTER, Problem, not_found

_UNTIL_ONE_ENDS: Final = "60"
"""Seconds; a run takes many minutes."""
_Words = tuple[HTTPStatus, str, str, str]
"""Status, code, what happened, the next step."""

_WORDS: Final[Mapping[type[refusals.Refusal], _Words]] = {
    refusals.DraftClosed: (
        HTTPStatus.CONFLICT,
        "not_a_draft",
        "The run is no draft any more; its photos cannot be changed.",
        "Start a new run for other photos.",
    ),
    refusals.KeyConflict: (
        HTTPStatus.CONFLICT,
        "idempotency_conflict",
        "This Idempotency-Key was used for a request with other content.",
        "Use a new key for a new request, or repeat the first request unchanged.",
    ),
    refusals.Busy: (
        HTTPStatus.CONFLICT,
        "busy",
        "The run was being changed by another request.",
        "Send the same request again.",
    ),
    refusals.StillComing: (
        HTTPStatus.CONFLICT,
        "photos_coming",
        "The photos of the earlier run are still being taken over.",
        "Send the same request again in a few seconds.",
    ),
    refusals.PhotosGone: (
        HTTPStatus.GONE,
        "photos_gone",
        "The photos of this run are not kept any more.",
        "Start a new run and upload the photos again.",
    ),
    refusals.Forged: (
        HTTPStatus.UNAUTHORIZED,
        "bad_signature",
        "The callback is not signed by the provider for this training.",
        "Only the training provider calls this address.",
    ),
    refusals.Unintelligible: (
        HTTPStatus.BAD_REQUEST,
        "unintelligible",
        "The callback's body is not a training.",
        "Send the training as JSON with its id.",
    ),
    refusals.ProviderSilent: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "provider_unavailable",
        "The callback cannot be checked now.",
        "Send the callback again.",
    ),
}

_HINDRANCES: Final[Mapping[Hindrance, tuple[str, str]]] = {
    Hindrance.LIVE: (
        "The run has not ended.",
        "Submit it if it is a draft; otherwise wait for its end, or cancel it first.",
    ),
    Hindrance.READY: ("The run has made its model.", "Use the model, or start a new run for another one."),
    Hindrance.CUSTODY: (
        "It could not be proven that this run's photos are the user's own, so they are not used again.",
        "Start a new run and upload the photos again.",
    ),
    Hindrance.EXPIRED: (
        "The draft was never submitted, so it was closed and its photos were deleted.",
        "Start a new run and upload the photos again.",
    ),
    Hindrance.EMPTY: ("The run has no photos to start again with.", "Start a new run and upload photos."),
}


def of_refusal(refusal: refusals.Refusal) -> Problem:
    """The problem document's content for what an act refused."""
    match refusal:
        case refusals.AlreadyOver(status=status):
            return _over(status, refusal.run_id)
        case refusals.NotRestartable(why=why):
            return Problem(HTTPStatus.CONFLICT, why.value, *_HINDRANCES[why], run_id=refusal.run_id)
        case refusals.Withdrawn():
            return _withdrawn(refusal)
        case refusals.TooManyOpen(limit=limit):
            return _too_many_open(limit)
        case refusals.TooFewPhotos():
            return _too_few(refusal)
        case refusals.TooManyPhotos() | refusals.WrongSizes():
            return _unfit_list(refusal)
    words = _WORDS.get(type(refusal))
    if words is None:
        return not_found(refusal.run_id)
    later = {"Retry-After": RETRY_AFTER} if words[0] is HTTPStatus.SERVICE_UNAVAILABLE else None
    return Problem(*words, run_id=refusal.run_id, headers=later)


def _over(status: Status, run_id: str | None) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        "run_over",
        f"The run has ended already: it is {status.value}.",
        "Nothing to do: a run that has ended cannot be cancelled.",
        run_id=run_id,
        run_status=status.value,
    )


def _too_many_open(limit: int) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_runs",
        f"This user has {limit} runs that have not ended, as many as may be.",
        "Cancel one of them, or wait until one has ended.",
        limit=limit,
        headers={"Retry-After": _UNTIL_ONE_ENDS},
    )


def _withdrawn(refusal: refusals.Withdrawn) -> Problem:
    return Problem(
        HTTPStatus.GONE,
        "model_revoked",
        f"The model was withdrawn: {refusal.reason}",
        "Stop using this model, and delete your copies of its weights.",
        run_id=refusal.run_id,
    )


def _too_few(refusal: refusals.TooFewPhotos) -> Problem:
    unfit = sum(1 for photo in refusal.photos if photo.status == "rejected")
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "too_few_usable",
        f"{refusal.needed} more photos needed: {refusal.received} were received and {unfit} of them cannot be used.",
        f"Add at least {refusal.needed} more good photos and submit again; the run stays open.",
        run_id=refusal.run_id,
        needed=refusal.needed,
        photos=[photo.model_dump(mode="json") for photo in refusal.photos],
    )


def _unfit_list(refusal: refusals.TooManyPhotos | refusals.WrongSizes) -> Problem:
    if isinstance(refusal, refusals.TooManyPhotos):
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "too_many_photos",
            f"A run holds at most {refusal.limit} photos, those that are still to come included.",
            "Announce fewer files, or remove photos of the run.",
            run_id=refusal.run_id,
        )
    bounds = f"{refusal.least} to {refusal.most}"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        f"A photo has {bounds} bytes; {len(refusal.places)} of the files have not.",
        "Leave these files out and send the request again; no target was given.",
        run_id=refusal.run_id,
        errors=[{"field": f"files.{at}.bytes", "problem": f"not {bounds}"} for at in refusal.places],
    )
