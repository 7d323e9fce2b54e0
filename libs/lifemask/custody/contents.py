"""What a step says must follow from what the step before said: the same photos and weights, counts that add up."""

from lifemask.custody.broken import CustodyBroken
from lifemask.custody.links import Link
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    JudgedPhoto,
    Signed,
)
from lifemask.objects import keys

ARCHIVE = 1
"""Whichever attempt trains, the archive is the one that the packager made."""


def check_contents(link: Link[Signed, Signed], user: str, run: str) -> None:
    """Raises CustodyBroken unless the link's contents fit those before it."""
    problem = _problem(link, user, run)
    if problem is not None:
        raise CustodyBroken(f"{link.step.name}: {problem}")


def usable(pairs: tuple[JudgedPhoto, ...]) -> tuple[JudgedPhoto, ...]:
    """The photos that were not refused, in order."""
    return tuple(pair for pair in pairs if not pair.verdicts)


def _problem(link: Link[Signed, Signed], user: str, run: str) -> str | None:
    match link.step.name:
        case UPLOAD.name:
            return _upload(link)
        case VALIDATION.name:
            return _validation(link)
        case DATASET.name:
            return _dataset(link)
        case TRAINING.name:
            archive = keys.archive(user, run, ARCHIVE)
            return None if link.back(TRAINING).manifest.archive_key == archive else "archive is another one"
        case PUBLICATION.name:
            return _publication(link, user)
    return None


def _upload(link: Link[Signed, Signed]) -> str | None:
    upload = link.back(UPLOAD)
    photos = upload.manifest.photos
    fits = upload.fields.count == len(photos) == len({photo.id for photo in photos})
    fits = fits and upload.fields.bytes == sum(photo.bytes for photo in photos)
    return None if fits else "counts differ"


def _validation(link: Link[Signed, Signed]) -> str | None:
    validation, photos = link.back(VALIDATION), link.back(UPLOAD).manifest.photos
    pairs = validation.manifest.pairs
    if [(pair.id, pair.original) for pair in pairs] != [(photo.id, photo.sha256) for photo in photos]:
        return "photos are not the uploaded ones"
    good = usable(pairs)
    if any(pair.clean is None for pair in good):
        return "a usable photo has no clean one"
    counted = (validation.fields.received, validation.fields.usable)
    return None if counted == (len(pairs), len(good)) else "counts differ"


def _dataset(link: Link[Signed, Signed]) -> str | None:
    dataset, pairs = link.back(DATASET), link.back(VALIDATION).manifest.pairs
    members = dataset.manifest.members
    if [(one.sha256, one.bytes) for one in members] != [(pair.clean, pair.bytes) for pair in usable(pairs)]:
        return "members are not the clean photos"
    return None if dataset.fields.members == len(members) else "counts differ"


def _publication(link: Link[Signed, Signed], user: str) -> str | None:
    publication = link.back(PUBLICATION)
    fields = publication.fields
    if publication.subject != link.back(WEIGHTS).subject:
        return "weights differ"
    try:
        place = keys.model_weights(user, fields.model, fields.version)
    except keys.BadKey:
        return "model or version is no name"
    return None if publication.manifest.store_key == place else "store key is another one"
