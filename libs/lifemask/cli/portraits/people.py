"""One invented person: the same face, hair and eyes in every pose, clothing and light."""

import math
from dataclasses import dataclass
from random import Random
from typing import Final, Self

from PIL import Image, ImageDraw, ImageFilter

from lifemask.cli.portraits.places import Colour

_HEADS: Final = (0.33, 0.17, 0.25, 0.21, 0.29)
_COLUMNS: Final = (0.5, 0.27, 0.72, 0.38, 0.64, 0.2, 0.8)


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same in every photo."""

    skin: Colour
    hair: Colour
    eyes: Colour
    long_hair: bool

    @classmethod
    def rolled(cls, dice: Random) -> Self:
        skins = ((236, 196, 166), (214, 168, 130), (168, 118, 82), (118, 80, 56))
        hairs = ((46, 32, 24), (92, 62, 36), (160, 112, 58), (28, 26, 30))
        eyes = ((70, 110, 150), (84, 120, 76), (98, 68, 40))
        return cls(dice.choice(skins), dice.choice(hairs), dice.choice(eyes), dice.random() < 0.5)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the head is and how it is held. Lengths are shares of the canvas height or width, angles degrees."""

    x: float
    y: float
    head: float
    tilt: float
    turn: float
    """-1 (to the left) to 1."""
    smile: float
    clothing: Colour

    @classmethod
    def rolled(cls, number: int, dice: Random) -> Self:
        """A pose for photo `number`: framing and clothing go round, so that neighbours differ in the large."""
        head = _HEADS[number % len(_HEADS)]
        dark = number % 3 == 0
        clothing = [dice.randrange(10, 90) if dark else dice.randrange(60, 245) for _ in range(3)]
        return cls(
            x=_COLUMNS[number % len(_COLUMNS)] + dice.uniform(-0.05, 0.05),
            y=dice.uniform(0.28, 0.44) + head * 0.3,
            head=head,
            tilt=dice.uniform(-16, 16),
            turn=dice.uniform(-0.8, 0.8),
            smile=dice.uniform(-0.1, 1.0),
            clothing=(clothing[0], clothing[1], clothing[2]),
        )


def add_person(place: Image.Image, person: Person, pose: Pose) -> Image.Image:
    """The place with the person in front of it."""
    width, height = place.size
    layer = Image.new("RGBA", place.size, (0, 0, 0, 0))
    centre = (pose.x * width, pose.y * height)
    radius = pose.head * height
    _shoulders(ImageDraw.Draw(layer), centre, radius, pose, person)
    face = Image.new("RGBA", place.size, (0, 0, 0, 0))
    _head(ImageDraw.Draw(face), centre, radius, pose, person)
    layer.alpha_composite(face.rotate(pose.tilt, Image.Resampling.BILINEAR, center=(centre[0], centre[1] + radius)))
    layer = layer.filter(ImageFilter.GaussianBlur(0.8))  # the drawing has hard, stepped edges
    joined = place.convert("RGBA")
    joined.alpha_composite(layer)
    return joined.convert("RGB")


def _shade(colour: Colour, by: float) -> Colour:
    red, green, blue = (min(255, max(0, int(value * by))) for value in colour)
    return red, green, blue


def _shoulders(draw: ImageDraw.ImageDraw, centre: tuple[float, float], r: float, pose: Pose, person: Person) -> None:
    x, y = centre
    top = y + r * 1.15
    draw.ellipse((x - r * 2.1, top, x + r * 2.1, top + r * 5), fill=pose.clothing)
    draw.ellipse((x - r * 0.75, top - r * 0.2, x + r * 0.75, top + r * 0.75), fill=_shade(person.skin, 0.82))
    for side in (-1, 1):
        collar = [(x, top + r * 1.1), (x + side * r * 0.75, top), (x + side * r * 1.15, top + r * 0.45)]
        draw.polygon(collar, fill=_shade(pose.clothing, 0.65))
    for button in range(4):
        at = top + r * (1.4 + button * 0.6)
        draw.ellipse((x - r * 0.06, at, x + r * 0.06, at + r * 0.12), fill=_shade(pose.clothing, 1.6))


def _head(draw: ImageDraw.ImageDraw, centre: tuple[float, float], r: float, pose: Pose, person: Person) -> None:
    x, y = centre
    hang = 2.1 if person.long_hair else 0.5
    draw.rounded_rectangle((x - r * 1.0, y - r * 1.25, x + r * 1.0, y + r * hang), radius=r * 0.95, fill=person.hair)
    draw.rectangle((x - r * 0.38, y + r * 0.7, x + r * 0.38, y + r * 1.6), fill=_shade(person.skin, 0.85))
    for side in (-1, 1):
        ear = x + side * r * 0.82
        draw.ellipse((ear - r * 0.14, y - r * 0.2, ear + r * 0.14, y + r * 0.25), fill=_shade(person.skin, 0.9))
    draw.ellipse((x - r * 0.82, y - r * 1.08, x + r * 0.82, y + r * 1.12), fill=person.skin)
    far = x - math.copysign(r * 0.5, pose.turn)
    cheek = (min(x, far) - r * 0.3, y + r * 0.05, max(x, far) + r * 0.1, y + r * 0.95)
    draw.ellipse(cheek, fill=_shade(person.skin, 0.95))
    _hairline(draw, x, y, r, person)
    _features(draw, (x + pose.turn * r * 0.22, y), r, pose, person)


def _hairline(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, person: Person) -> None:
    draw.chord((x - r * 0.86, y - r * 1.22, x + r * 0.86, y + r * 0.15), 180, 360, fill=person.hair)
    for strand in range(18):
        at = x - r * 0.8 + r * 1.6 * strand / 17
        line = (at, y - r * 1.15 + abs(at - x) * 0.5, at + r * 0.06, y - r * 0.5 + (strand % 3) * r * 0.05)
        draw.line(line, fill=_shade(person.hair, 1.5 if strand % 2 else 0.7), width=max(1, int(r * 0.03)))


def _features(draw: ImageDraw.ImageDraw, centre: tuple[float, float], r: float, pose: Pose, person: Person) -> None:
    x, y = centre
    for side in (-1, 1):
        eye = x + side * r * 0.34
        draw.ellipse((eye - r * 0.17, y - r * 0.13, eye + r * 0.17, y + r * 0.07), fill=(245, 243, 240))
        gaze = eye + pose.turn * r * 0.06
        draw.ellipse((gaze - r * 0.09, y - r * 0.12, gaze + r * 0.09, y + r * 0.06), fill=person.eyes)
        draw.ellipse((gaze - r * 0.045, y - r * 0.075, gaze + r * 0.045, y + r * 0.015), fill=(12, 12, 14))
        draw.ellipse((gaze - r * 0.03, y - r * 0.08, gaze + r * 0.005, y - r * 0.045), fill=(255, 255, 255))
        brow = (eye - r * 0.2, y - r * 0.32, eye + r * 0.2, y - r * 0.05)
        draw.arc(brow, 200, 340, fill=_shade(person.hair, 0.9), width=max(2, int(r * 0.06)))
    nose = [(x - r * 0.02, y), (x + pose.turn * r * 0.12 + r * 0.1, y + r * 0.38), (x - r * 0.12, y + r * 0.38)]
    draw.polygon(nose, fill=_shade(person.skin, 0.84))
    curve = pose.smile * r * 0.16
    mouth = (x - r * 0.3, y + r * 0.55 - curve, x + r * 0.3, y + r * 0.68 + curve)
    draw.chord(mouth, 0, 180, fill=(172, 74, 78))
    if pose.smile > 0.5:
        left, top, right, bottom = mouth
        draw.chord((left + r * 0.06, top + r * 0.03, right - r * 0.06, bottom - r * 0.08), 0, 180, "white")
