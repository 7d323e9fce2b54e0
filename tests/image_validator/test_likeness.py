"""What counts as the same photo: measured on drawn portraits."""

import io
from collections.abc import Callable
from functools import cache
from itertools import combinations

import pytest
from PIL import Image, ImageEnhance
from tests.image_validator.pictures import encoded, portrait
from tests.image_validator.policies import POLICY

from lifemask.image_validator.adapters.measuring import likeness_of, luma_of

SIZE = (600, 800)
POSES = range(8)


@cache
def person(pose: int, scene: int) -> Image.Image:
    return portrait(pose, scene, SIZE)


@cache
def likeness(pose: int, scene: int) -> int:
    return likeness_of(luma_of(person(pose, scene)))


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def cropped(picture: Image.Image, share: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((int(width * share), int(height * share), int(width * (1 - share)), int(height * (1 - share))))


SAME: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda it: it.resize((300, 400), Image.Resampling.BILINEAR),
    "recompressed": lambda it: Image.open(io.BytesIO(encoded(it, quality=40))),
    "as WebP": lambda it: Image.open(io.BytesIO(encoded(it, "WEBP", quality=60))),
    "cropped by 2 %": lambda it: cropped(it, 0.02),
    "brightened": lambda it: ImageEnhance.Brightness(it).enhance(1.25),
    "darkened": lambda it: ImageEnhance.Brightness(it).enhance(0.75),
    "more contrast": lambda it: ImageEnhance.Contrast(it).enhance(1.3),
    "grey": lambda it: it.convert("L"),
    "turned by 1 degree": lambda it: cropped(it.rotate(1), 0.02),
}


@pytest.mark.parametrize("change", SAME)
def test_the_same_photo_again(change: str) -> None:
    for pose in POSES:
        again = likeness_of(luma_of(SAME[change](person(pose, pose))))
        assert distance(likeness(pose, pose), again) <= POLICY.max_likeness


def test_one_person_in_one_scene_in_other_poses_is_another_photo() -> None:
    found = [distance(likeness(one, 0), likeness(other, 0)) for one, other in combinations(POSES, 2)]
    assert min(found) > POLICY.max_likeness


def test_other_poses_in_other_scenes_are_far_apart() -> None:
    found = [distance(likeness(one, one), likeness(other, other)) for one, other in combinations(POSES, 2)]
    assert min(found) > POLICY.max_likeness + 20
