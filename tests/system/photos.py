"""Small photos, drawn once per session: one person in many poses, with EXIF that must not travel."""

import io
import zlib
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from PIL import ExifTags, Image, ImageFilter

from lifemask.cli.portraits.camera import Camera, develop, expose
from lifemask.cli.portraits.people import Person, Pose, add_person
from lifemask.cli.portraits.places import paint_place

SECRET_DEVICE = "Canary Camera 5f1d"
"""Stands in the EXIF block of every photo."""
SECRET_PLACE = "52 deg 31 canary north"
"""Stands in the GPS block of every photo."""
_CAMERA = Camera("Canary", SECRET_DEVICE, (640, 520))


@dataclass(frozen=True, slots=True)
class File:
    """One file as a client sends it."""

    name: str
    data: bytes

    def called(self, name: str) -> "File":
        return File(name, self.data)


def good(count: int, seed: int = 1) -> list[File]:
    """Photos that can be used; another seed is another person."""
    return [_good(number, seed) for number in range(count)]


@cache
def _good(number: int, seed: int) -> File:
    return File(f"IMG_{number:04}.jpg", _written(_scene(number, seed), number))


def blurred(number: int = 20, seed: int = 1) -> File:
    return File("blurred.jpg", _written(_scene(number, seed).filter(ImageFilter.GaussianBlur(8)), number))


def dark(number: int = 21, seed: int = 1) -> File:
    return File("dark.jpg", _written(_scene(number, seed, light=0.06), number, quality=98))


def small(number: int = 22, seed: int = 1) -> File:
    picture = _scene(number, seed).resize((500, 400))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    return File("small.jpg", file.getvalue())


def truncated(number: int = 23, seed: int = 1) -> File:
    whole = _good(number, seed).data
    return File("truncated.jpg", whole[: len(whole) * 6 // 10])


def twin_of(photo: File) -> File:
    """The same picture in other bytes."""
    file = io.BytesIO()
    Image.open(io.BytesIO(photo.data)).save(file, "JPEG", quality=70)
    return File("twin.jpg", file.getvalue())


def text_called_jpg() -> File:
    return File("notes.jpg", b"Dear diary, this is no photo at all.\n" * 400)


def bomb() -> File:
    """A PNG of a few kilobytes that claims 900 megapixels, with real compressed rows at its beginning."""
    size = (30_000).to_bytes(4, "big")
    rows = zlib.compress(b"\0" * 30_001 * 500)
    chunks = _chunk(b"IHDR", size + size + b"\x08\x00\x00\x00\x00") + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    return File("bomb.png", b"\x89PNG\r\n\x1a\n" + chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _scene(number: int, seed: int, light: float = 1.0) -> Image.Image:
    shape = (520, 640) if number % 3 == 2 else (640, 520)
    dice = Random(seed * 1000 + number)
    person = Person.rolled(Random(seed))
    drawn = add_person(paint_place(number, shape, dice), person, Pose.rolled(number, dice))
    return expose(drawn, np.random.default_rng((seed, number)), light=light)


def _written(picture: Image.Image, number: int, quality: int = 90) -> bytes:
    """As a camera writes it, with the canaries in its EXIF."""
    photo = Image.open(io.BytesIO(develop(picture, _CAMERA, number)))
    exif = photo.getexif()
    exif[ExifTags.Base.Software] = SECRET_DEVICE
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = SECRET_PLACE.encode()
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality, exif=exif)
    return file.getvalue()
