"""Verdicts on one photo: the code travels, the sentence tells the person what to do."""

from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """Why a photo cannot be used. A usable photo has none."""

    UNREADABLE = "unreadable"
    NOT_A_PHOTO = "not_a_photo"
    HEIC_NOT_SUPPORTED = "heic_not_supported"
    FILE_TOO_SMALL = "file_too_small"
    FILE_TOO_LARGE = "file_too_large"
    TOO_FEW_PIXELS = "too_few_pixels"
    TOO_MANY_PIXELS = "too_many_pixels"
    ODD_SHAPE = "odd_shape"
    ANIMATED = "animated"
    BLURRY = "blurry"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    FLAT = "flat"
    DUPLICATE = "duplicate"


SENTENCES: Final[dict[Verdict, str]] = {
    Verdict.UNREADABLE: "The file is damaged or incomplete. Upload the photo again from where it was taken.",
    Verdict.NOT_A_PHOTO: "This is not a photo we can read. Use JPEG, PNG or WebP.",
    Verdict.HEIC_NOT_SUPPORTED: "HEIC photos cannot be read here. Save the photo as JPEG and upload it again.",
    Verdict.FILE_TOO_SMALL: "The file is too small to show a face clearly. Use the original photo, not a thumbnail.",
    Verdict.FILE_TOO_LARGE: "The file is too large. Save the photo as JPEG at normal quality and upload it again.",
    Verdict.TOO_FEW_PIXELS: "The photo has too few pixels. Use the original, not a screenshot or thumbnail.",
    Verdict.TOO_MANY_PIXELS: "The photo has too many pixels. Scale it down and upload it again.",
    Verdict.ODD_SHAPE: "The photo is much too wide or too tall. Crop it around the person.",
    Verdict.ANIMATED: "Moving pictures cannot be used. Choose a still photo.",
    Verdict.BLURRY: "The photo is too blurry. Try daylight and hold the camera still.",
    Verdict.TOO_DARK: "The photo is too dark. Take it in daylight or with more light on the face.",
    Verdict.TOO_BRIGHT: "The photo is too bright. Avoid direct light into the camera.",
    Verdict.FLAT: "The photo shows almost no detail. Choose one in which the face is well lit.",
    Verdict.DUPLICATE: "This is nearly the same as another photo of this set. Choose one with another pose or place.",
}


COPY_DAMAGED: Final = "copy_damaged"
"""What people are told in place of `unreadable` when what lies in the store is not what was uploaded: our side, not
their file. No `Verdict`: events say it with a field of its own, which readers of an earlier release pass over.
"""
_COPY_DAMAGED: Final = "Our copy of this photo was damaged, on our side. Remove the photo and upload it again."


def sentence(code: str) -> str:
    """What a verdict code tells the person; a code of a newer version gets a general sentence."""
    if code == COPY_DAMAGED:
        return _COPY_DAMAGED
    try:
        return SENTENCES[Verdict(code)]
    except ValueError:
        return "This photo cannot be used. Choose another one."
