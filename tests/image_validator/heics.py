"""HEIC files as phones write them, from the encoder that comes with the extra, and hostile ones made of them."""

import io
import struct
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

_FAST = {"preset": "ultrafast"}


def heic(*pictures: Image.Image, **options: Any) -> bytes:
    """The pictures in one file, the first one primary unless told otherwise, at quality 80.

    An orientation in a picture's notes becomes the file's own turn; the pixels are stored as they are.
    """
    album = pillow_heif.HeifFile()  # type: ignore[no-untyped-call] # a class without annotations
    for picture in pictures:
        bare = picture.copy()
        bare.info = {}
        added: dict[Any, Any] = album.add_from_pillow(bare).info
        added.update(picture.info)
    out = io.BytesIO()
    album.save(out, **{"quality": 80, "enc_params": _FAST, **options})
    return out.getvalue()


def ten_bits(picture: Image.Image) -> bytes:
    """The picture with ten bits a channel."""
    data = (np.asarray(picture, dtype=np.uint16) * 257).tobytes()
    out = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", picture.size, data).save(out, quality=80, enc_params=_FAST)
    return out.getvalue()


def declaring(data: bytes, width: int, height: int, kind: bytes = b"ispe") -> bytes:
    """The same file with other numbers in each size property."""
    result, at = bytearray(data), data.index(kind)
    while at >= 0:
        result[at + 8 : at + 16] = struct.pack(">II", width, height)
        at = data.find(kind, at + 1)
    return bytes(result)


def grid_declaring(data: bytes, width: int, height: int, old: tuple[int, int]) -> bytes:
    """The same file with another canvas in the header of its grid."""
    found = data.index(struct.pack(">HH", *old), data.index(b"idat"))
    return data[:found] + struct.pack(">HH", width, height) + data[found + 4 :]


def box(kind: bytes, *bodies: bytes) -> bytes:
    """A box of an ISO media file."""
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + kind + body


def sequence(frames: int, main: bytes = b"hevc") -> bytes:
    """A moving picture that says it has so many frames."""
    stsz = box(b"stsz", bytes(8), struct.pack(">I", frames))
    moov = box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", stsz)))))
    return box(b"ftyp", main, bytes(4), b"msf1hevc") + moov + box(b"mdat", bytes(20_000))
