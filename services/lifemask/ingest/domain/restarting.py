"""Starting again: which runs may be, whether the new run submits itself, what its photos must be.

A new run is made from the originals of an earlier run of the same user. Nothing of the earlier run is trusted: each
original must still be the one that was uploaded then, and is judged again from the start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lifemask.contracts import (
    Failure,
    FailureCode,
    RunAccepted,
    RunCanceled,
    RunFailed,
    photo_id_of,
)
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.runs import Run, SealedPhoto
from lifemask.ingest.domain.status import Status, status_of


class Hindrance(StrEnum):
    """Why a run cannot be started again; also the codes of the API's answers."""

    LIVE = "run_live"
    READY = "run_ready"
    CUSTODY = "custody_broken"
    EXPIRED = "draft_expired"
    EMPTY = "no_photos"


class Unproven(Exception):
    """An original is not the one that was uploaded; the text says what is wrong, without naming the photo."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A photo of the earlier run and the photo of the new run that its original becomes."""

    source: str
    photo: Photo


def hindrance(run: Run) -> Hindrance | None:
    """Why the run cannot be started again, as far as the run itself says; None when it can."""
    match run.facts.end.event if run.facts.end else None:
        case None:
            return Hindrance.LIVE
        case RunFailed(failure=Failure(code=FailureCode.CUSTODY_BROKEN)):
            return Hindrance.CUSTODY
        case RunCanceled(reason="draft_expired"):
            return Hindrance.EXPIRED
        case _ if status_of(run) is Status.READY:
            return Hindrance.READY
        case _:
            return None


def submits_itself(run: Run, *, asked: bool | None) -> bool:
    """Whether the new run is submitted without another call: as asked for, else when its photos can be as they were.

    A failed run needs nothing of the person: its set was whole, and the fault was not theirs. A rejected run needs
    other photos, a cancelled one was stopped on purpose, and of an announced upload that ended before it was sealed
    some photos never came.
    """
    if asked is not None:
        return asked
    whole = run.facts.has(RunAccepted) or (run.submitted_at is not None and not run.by_event)
    return whole and status_of(run) is Status.FAILED


def new_ids(run_id: str, photos: Sequence[Photo]) -> dict[str, str]:
    """The photo ids in the new run `run_id`, by those of the earlier run's photos; always the same."""
    return {photo.id: photo_id_of(run_id, photo.id) for photo in photos}


def prove(
    run_id: str, coming: Sequence[Photo], earlier: Sequence[Photo], sealed: Mapping[str, SealedPhoto] | None
) -> list[Copied]:
    """Which original each photo to come is made of, when everything recorded of it agrees.

    `earlier` are the earlier run's photos, `sealed` those of its upload statement by id, None when it ended before one
    was made. Raises Unproven.
    """
    sources = {new: old for old, new in new_ids(run_id, earlier).items()}
    rows = {photo.id: (photo.sha256, photo.bytes) for photo in earlier}
    proven = []
    for photo in coming:
        source, expected = sources.get(photo.id), (photo.sha256, photo.bytes)
        if source is None or rows[source] != expected:
            raise Unproven("restart: a photo differs from the earlier run's")
        stated = sealed.get(source) if sealed is not None else photo
        if stated is None or (stated.sha256, stated.bytes) != expected:
            raise Unproven("restart: a photo differs from the upload statement")
        proven.append(Copied(source, photo))
    return proven
