"""HEIC through pillow-heif, which the extra `heic` brings. Nothing is registered: only who calls `open_heic` reads it.

The decoder is libde265 behind libheif. It fills what is missing with grey, so `heif.declared` comes first, always.
"""

import importlib.util
import io

from PIL import Image

from lifemask.image_validator.adapters.nclx import profile_of


def is_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("pillow_heif") is not None


def open_heic(data: bytes) -> Image.Image:
    """The primary picture, upright, not decoded yet; thumbnails, depth and other pictures are left alone.

    Its colours are described by an ICC profile, also where the file has but their numbers (nclx).
    """
    import pillow_heif

    options = pillow_heif.options
    options.DECODE_THREADS = 1  # the pool of the service decides how many work at once
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    picture: Image.Image = pillow_heif.HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call] # a class without annotations
    picture.info.pop("exif", None)  # the file's own turn has been applied; the camera's note of it does not count
    if not picture.info.get("icc_profile") and (nclx := picture.info.get("nclx_profile")):
        picture.info["icc_profile"] = profile_of(nclx["color_primaries"], nclx["transfer_characteristics"])
    return picture
