"""Pictures that behave like photos: a person before a textured scene, with the grain of a camera."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def portrait(pose: int = 0, scene: int = 0, size: tuple[int, int] = (1200, 1600)) -> Image.Image:
    """One person before `scene`, standing, tilted and lit as `pose` says. The same arguments draw the same pixels."""
    return _portrait(pose, scene, size).copy()


@functools.lru_cache(16)
def _portrait(pose: int, scene: int, size: tuple[int, int]) -> Image.Image:
    width, height = size
    place = np.random.default_rng(1000 + scene)
    coarse = place.integers(40, 215, (8, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    _furnish(picture, place)
    _stand(picture, np.random.default_rng(pose))
    grain = np.random.default_rng(7 * pose + scene).normal(0, 5, (height, width, 1))
    lit = np.asarray(picture, dtype=np.float32) + grain
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _furnish(picture: Image.Image, chance: np.random.Generator) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(40):
        x, y = chance.uniform(0, width), chance.uniform(0, height)
        w, h = chance.uniform(0.02, 0.15, 2) * width
        draw.rectangle((x, y, x + w, y + h), fill=_colour(chance.integers(0, 255, 3)))


def _stand(picture: Image.Image, pose: np.random.Generator) -> None:
    """Head and shoulders, somewhere in the middle, of the size and tilt of this pose."""
    width, height = picture.size
    unit = min(width, height) * pose.uniform(0.16, 0.34)
    x, y = width * pose.uniform(0.3, 0.7), height * pose.uniform(0.3, 0.6)
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    draw.ellipse((x - 2 * unit, y + unit, x + 2 * unit, y + 6 * unit), fill=_colour(pose.integers(20, 235, 3)))
    draw.ellipse((x - 1.1 * unit, y - 1.5 * unit, x + 1.1 * unit, y + 1.2 * unit), fill=(60, 40, 30, 255))
    draw.ellipse((x - 0.8 * unit, y - unit, x + 0.8 * unit, y + 1.2 * unit), fill=(214, 170, 140, 255))
    for side in (-0.35, 0.35):
        draw.ellipse((x + (side - 0.12) * unit, y - 0.2 * unit, x + (side + 0.12) * unit, y), fill=(30, 30, 40, 255))
    draw.arc((x - 0.4 * unit, y + 0.3 * unit, x + 0.4 * unit, y + 0.8 * unit), 0, 180, fill=(150, 40, 50), width=9)
    turned = layer.rotate(pose.uniform(-25, 25), center=(x, y), resample=Image.Resampling.BICUBIC)
    picture.paste(turned, (0, 0), turned)


def _colour(channels: Any) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in channels)
    return red, green, blue


_USUAL: dict[str, dict[str, Any]] = {"JPEG": {"quality": 90}, "PNG": {"compress_level": 1}, "WEBP": {"method": 0}}


def encoded(picture: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The picture as a file; JPEG at quality 90 unless told otherwise, PNG as fast as it goes."""
    options = {**_USUAL.get(kind, {}), **options}
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def blurred(picture: Image.Image, pixels_at_1024: float) -> Image.Image:
    """Out of focus by that many pixels of the picture scaled to a long side of 1024."""
    return picture.filter(ImageFilter.GaussianBlur(pixels_at_1024 * max(picture.size) / 1024))
