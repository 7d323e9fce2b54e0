"""Words for the place where a person picks photos: what makes a good set, how to allow access, what to do by hand.

The codes are stable, so an app can show its own translation in place of a text.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from lifemask.contracts.event import Value


class Occasion(StrEnum):
    """When an app shows it."""

    GOOD_SET = "good_set"
    """Before and while photos are picked."""
    PERMISSION_IOS = "permission_ios"
    """An iPhone or iPad does not let the app see the photos."""
    PERMISSION_ANDROID = "permission_android"
    """An Android device does not let the app see the photos."""
    PICK_BY_HAND = "pick_by_hand"
    """The app could not choose photos by itself, or found too few."""
    FILE_FORMAT = "file_format"
    """Photos cannot be read as they are."""


class Advice(Value):
    """One piece of advice."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z_]{1,39}$", examples=["different_days"])]
    """Stable within its occasion."""
    text: Annotated[str, Field(min_length=10, max_length=160, examples=["Mix close-ups and half-length photos."])]
    """One or two sentences for the person, in plain English."""


class Guidance(Value):
    """Advice for one occasion, in the order in which it is shown."""

    occasion: Occasion = Field(examples=["good_set"])
    """When to show it."""
    title: Annotated[str, Field(min_length=3, max_length=60, examples=["What makes a good set of photos"])]
    """A heading."""
    advice: tuple[Advice, ...] = Field(min_length=1)
    """What to tell the person."""


def _guidance(occasion: Occasion, title: str, **advice: str) -> Guidance:
    return Guidance(
        occasion=occasion,
        title=title,
        advice=tuple(Advice(code=code, text=text) for code, text in advice.items()),
    )


GUIDANCE: Final[tuple[Guidance, ...]] = (
    _guidance(
        Occasion.GOOD_SET,
        "What makes a good set of photos",
        enough="Choose 15 to 20 photos. A few more than needed make up for those that cannot be used.",
        one_person="Choose photos with one person only, always the same one, and nobody else close to the face.",
        face_visible="The face should be large, sharp and in good light. No sunglasses, masks or hands before it.",
        different_days="Take photos of different days, places and clothes. Several of one moment count as one.",
        different_angles="Mix views from the front, from the side and at an angle, with different expressions.",
        different_distances="Mix close-ups and photos down to the waist. Leave out those in which the face is tiny.",
        originals="Use the originals from the camera: no screenshots, thumbnails, filters or collages.",
        your_own="Use only photos of yourself, or of somebody who has agreed.",
    ),
    _guidance(
        Occasion.PERMISSION_IOS,
        "Allow access to your photos on iPhone or iPad",
        open_settings="In Settings, open Apps, find this app and tap Photos. Older iPhones list apps in Settings.",
        full_access="Choose Full Access to let the app propose photos, or Limited Access to share only those you pick.",
        extend_selection="With Limited Access, tap Edit Selected Photos to add more.",
        without_access="You can also pick photos one by one without allowing anything: use the photo picker.",
        from_icloud="If photos are kept in iCloud, stay online until they have been loaded in full size.",
    ),
    _guidance(
        Occasion.PERMISSION_ANDROID,
        "Allow access to your photos on Android",
        open_settings="Open Settings, then Apps, find this app, tap Permissions, then Photos and videos.",
        full_access="Allow all to let the app propose photos, or choose limited access to share only those you pick.",
        asked_no_more="If the app no longer asks, you declined before. You can only allow it in Settings.",
        without_access="You can also pick photos one by one without allowing anything: use the photo picker.",
        from_cloud="If photos are kept in the cloud, stay online until they have been loaded in full size.",
    ),
    _guidance(
        Occasion.PICK_BY_HAND,
        "Pick the photos yourself",
        open_album="Open your album of people, or search it for the name, and look at the photos of this person.",
        one_per_day="Go from month to month and take one or two good photos of each day.",
        look_closer="Open each photo in full size: take it if the eyes are sharp and well lit.",
        take_new="Too few? Take new ones by a window in daylight: front, both sides, near and far, in two places.",
        check_verdicts="Read why a photo was not used, replace it, and send the set again.",
    ),
    _guidance(
        Occasion.FILE_FORMAT,
        "Make photos readable",
        formats="JPEG, PNG and WebP can always be read. HEIC can be read in some places only.",
        heic_iphone="On iPhone, choose Settings, Camera, Formats, Most Compatible for new photos to be JPEG.",
        heic_existing="For photos you have, open Share, then Options, and choose Most Compatible.",
        heic_android="On Android, turn off high efficiency pictures in the camera's settings.",
    ),
)
"""Every occasion once."""


def advice_for(occasion: Occasion) -> Guidance:
    """The advice for one occasion."""
    return next(one for one in GUIDANCE if one.occasion is occasion)
