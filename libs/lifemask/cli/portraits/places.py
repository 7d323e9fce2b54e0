"""Backgrounds. Each paints the whole canvas; they differ in the large, so that no two photos look alike when small."""

from collections.abc import Callable
from random import Random
from typing import Final

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Paint = Callable[[ImageDraw.ImageDraw, int, int, Random], None]


def paint_place(number: int, size: tuple[int, int], dice: Random) -> Image.Image:
    """The place `number` (taken modulo the number of places) at `size` pixels; `dice` varies the details."""
    image = Image.new("RGB", size, (128, 128, 128))
    PLACES[number % len(PLACES)](ImageDraw.Draw(image), *size, dice)
    return image


def _bands(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], top: Colour, bottom: Colour) -> None:
    """A vertical gradient in steps of a few pixels."""
    left, upper, right, lower = box
    steps = 48
    for step in range(steps):
        mixed = tuple(a + (b - a) * step // steps for a, b in zip(top, bottom, strict=True))
        y = upper + (lower - upper) * step // steps
        draw.rectangle((left, y, right, lower), fill=mixed)


def _beach(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    _bands(draw, (0, 0, w, h // 2), (120, 180, 235), (215, 235, 245))
    _bands(draw, (0, h // 2, w, h * 2 // 3), (30, 95, 140), (70, 150, 170))
    _bands(draw, (0, h * 2 // 3, w, h), (235, 215, 165), (200, 175, 120))
    sun = int(w * dice.uniform(0.05, 0.2))
    draw.ellipse((sun, h // 12, sun + w // 9, h // 12 + w // 9), fill=(255, 250, 220))


def _forest(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    _bands(draw, (0, 0, w, h), (60, 95, 50), (20, 45, 20))
    for _ in range(14):
        x, width = dice.randrange(w), dice.randrange(w // 60, w // 18)
        shade = dice.randrange(25, 75)
        draw.rectangle((x, 0, x + width, h), fill=(shade + 20, shade, shade - 20))
    for _ in range(160):
        x, y, r = dice.randrange(w), dice.randrange(h), dice.randrange(4, w // 40)
        green = dice.randrange(60, 190)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(green // 2, green, green // 3))


def _window(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    _bands(draw, (0, 0, w, h), (95, 80, 70), (60, 48, 42))
    left = int(w * dice.uniform(0.5, 0.62))
    draw.rectangle((left, h // 10, w - w // 30, h * 7 // 10), fill=(240, 244, 250))
    for part in (1, 2):
        x = left + (w - w // 30 - left) * part // 3
        draw.rectangle((x - 5, h // 10, x + 5, h * 7 // 10), fill=(90, 70, 55))
    draw.rectangle((left, h * 4 // 10, w - w // 30, h * 4 // 10 + 9), fill=(90, 70, 55))


def _bookshelf(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    draw.rectangle((0, 0, w, h), fill=(70, 45, 30))
    shelf = h // 5
    for top in range(0, h, shelf):
        x = 4
        while x < w:
            width, tall = dice.randrange(w // 50, w // 22), dice.randrange(shelf * 5 // 10, shelf * 9 // 10)
            colour = (dice.randrange(40, 220), dice.randrange(30, 170), dice.randrange(30, 150))
            draw.rectangle((x, top + shelf - tall, x + width, top + shelf - 8), fill=colour)
            x += width + 2


def _bricks(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    draw.rectangle((0, 0, w, h), fill=(190, 180, 170))
    tall, wide = h // 22, w // 9
    for row in range(24):
        for column in range(-1, 11):
            x, y = column * wide + (row % 2) * wide // 2, row * tall
            red = dice.randrange(120, 190)
            draw.rectangle((x, y, x + wide - 5, y + tall - 5), fill=(red, red // 2, red // 3))


def _night_street(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    _bands(draw, (0, 0, w, h), (18, 22, 48), (70, 50, 60))
    for _ in range(40):
        x, y, r = dice.randrange(w), dice.randrange(h * 2 // 3), dice.randrange(6, w // 22)
        warm = dice.randrange(150, 255)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, warm, warm // 2))


def _mountains(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    _bands(draw, (0, 0, w, h), (90, 130, 190), (230, 220, 215))
    for depth, shade in ((0.45, 140), (0.6, 95), (0.75, 55)):
        points = [(x * w // 6, int(h * (depth + dice.uniform(-0.17, 0.08)))) for x in range(7)]
        draw.polygon([(0, h), *points, (w, h)], fill=(shade, shade + 10, shade + 22))


def _studio(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    tone = dice.randrange(175, 215)
    _bands(draw, (0, 0, w, h), (tone, tone, tone + 8), (tone - 110, tone - 105, tone - 95))


def _kitchen(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    draw.rectangle((0, 0, w, h), fill=(225, 222, 210))
    tile = w // 14
    for x in range(0, w, tile):
        for y in range(h // 3, h * 6 // 10, tile):
            tone = dice.randrange(150, 215)
            draw.rectangle((x + 2, y + 2, x + tile - 2, y + tile - 2), fill=(tone - 40, tone, tone + 10))
    draw.rectangle((0, h * 6 // 10, w, h), fill=(50, 60, 70))
    draw.rectangle((0, 0, w * 4 // 10, h // 3), fill=(150, 105, 65))


def _stage(draw: ImageDraw.ImageDraw, w: int, h: int, dice: Random) -> None:
    draw.rectangle((0, 0, w, h), fill=(35, 12, 30))
    for _ in range(5):
        x, spread = dice.randrange(w), dice.randrange(w // 8, w // 4)
        colour = (dice.randrange(120, 255), dice.randrange(40, 160), dice.randrange(120, 255))
        draw.polygon([(x, 0), (x - spread, h), (x + spread, h)], fill=colour)


PLACES: Final[tuple[Paint, ...]] = (
    _beach,
    _forest,
    _window,
    _studio,
    _bricks,
    _night_street,
    _mountains,
    _bookshelf,
    _kitchen,
    _stage,
)
