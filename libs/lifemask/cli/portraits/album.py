"""The set of files: most are good, some are unfit on purpose, each in its own way."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from PIL import ImageFilter

from lifemask.cli.portraits.camera import CAMERAS, MESSENGER, SCREENSHOT, Camera, develop, expose
from lifemask.cli.portraits.people import Person, Pose, add_person
from lifemask.cli.portraits.places import paint_place

_DRAWN_AT: Final = 1024  # long side of the drawing in pixels; the camera's size is reached by enlarging
_BLUR: Final = 6  # pixels at the drawing's size; nearly all photos are refused from 3 on
_DARK: Final = 0.06  # share of the light that is left
_SMALL: Final = (400, 300)
_TRUNCATED: Final = 0.6  # share of the file that is left


class Flaw(StrEnum):
    """Why a photo is unfit."""

    BLURRED = "blurred"
    DARK = "dark"
    DUPLICATE = "duplicate"
    TRUNCATED = "truncated"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Drawn:
    """One file of the album."""

    path: Path
    flaw: Flaw | None


@dataclass(frozen=True, slots=True)
class _Shot:
    name: str
    scene: int
    camera: Camera
    flaw: Flaw | None


def draw_album(folder: Path, *, photos: int = 20, unfit: int | None = None, seed: int = 1) -> tuple[Drawn, ...]:
    """Writes `photos` files into `folder`, `unfit` of them (default: every fifth) with a flaw; same seed, same files.

    A folder of 20 takes about 2 s on two cores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flawed = photos // 5 if unfit is None else unfit
    person = Person.rolled(Random(seed))  # noqa: S311  a drawing, not a secret
    shots = _shots(photos, flawed)

    def draw(shot: _Shot) -> Drawn:
        path = folder / shot.name
        path.write_bytes(_take(shot, person, seed))
        return Drawn(path, shot.flaw)

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        return tuple(threads.map(draw, shots))


def _shots(photos: int, unfit: int) -> Sequence[_Shot]:
    flaws = tuple(Flaw)
    good = photos - unfit
    shots = [_good(number, good) for number in range(good)]
    for number in range(unfit):
        flaw = flaws[number % len(flaws)]
        scene = min(1, good - 1) if flaw is Flaw.DUPLICATE else good + number
        shots.append(_Shot(f"IMG_{good + number + 1:04}.jpg", scene, CAMERAS[scene % len(CAMERAS)], flaw))
    return shots


def _good(number: int, good: int) -> _Shot:
    if good > 2 and number == good - 1:
        return _Shot("screenshot.png", number, SCREENSHOT, None)
    if good > 2 and number == good - 2:
        return _Shot("from-messenger.webp", number, MESSENGER, None)
    return _Shot(f"IMG_{number + 1:04}.jpg", number, CAMERAS[number % len(CAMERAS)], None)


def _shape(shot: _Shot) -> tuple[int, int]:
    """Of the drawing: the camera's proportions, every third photo upright."""
    long_side, short_side = shot.camera.size
    short_drawn = _DRAWN_AT * short_side // long_side
    return (short_drawn, _DRAWN_AT) if shot.scene % 3 == 2 else (_DRAWN_AT, short_drawn)


def _take(shot: _Shot, person: Person, seed: int) -> bytes:
    dice = Random(seed * 1000 + shot.scene)  # noqa: S311  a drawing, not a secret
    shape = _shape(shot)
    image = add_person(paint_place(shot.scene, shape, dice), person, Pose.rolled(shot.scene, dice))
    light = _DARK if shot.flaw is Flaw.DARK else dice.uniform(0.85, 1.1)
    photo = expose(image, np.random.default_rng((seed, shot.scene)), light=light)
    camera = shot.camera
    if shot.flaw is Flaw.BLURRED:
        photo = photo.filter(ImageFilter.GaussianBlur(_BLUR))
    if shot.flaw is Flaw.DUPLICATE:  # the next frame of a burst: nearly the same
        edge = _DRAWN_AT // 100
        photo = photo.crop((edge, edge, photo.width - edge, photo.height - edge)).resize(shape)
    if shot.flaw is Flaw.SMALL:
        camera = replace(camera, size=_SMALL)
    file = develop(photo, camera, shot.scene)
    return file[: int(len(file) * _TRUNCATED)] if shot.flaw is Flaw.TRUNCATED else file
