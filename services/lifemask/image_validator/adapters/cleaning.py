"""The clean photo: upright, sRGB, no metadata, bounded, JPEG. The same picture gives the same bytes."""

import io

from PIL import Image, ImageCms, features
from PIL import __version__ as pillow_version

_SRGB = ImageCms.createProfile("sRGB")
_ORIENTATION = 0x0112


def encoder_name() -> str:
    """What writes the JPEGs; another version may write other bytes."""
    library = "libjpeg-turbo" if features.check_feature("libjpeg_turbo") else "libjpeg"
    return f"Pillow {pillow_version} / {library} {features.version('jpg')}"


def draft_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """What to ask of the JPEG decoder: it halves as long as the long side stays at four fifths of `side` or above.

    The inverse transform of a half-size block is a good low pass, and twice as fast as decoding and shrinking.
    """
    long = max(size)
    wanted = side * 4 // 5
    return (max(1, size[0] * wanted // long), max(1, size[1] * wanted // long))


def cleaned(picture: Image.Image, side: int) -> Image.Image:
    """RGB in sRGB, upright, at most `side` pixels long, on white where it was transparent."""
    orientation, profile = _orientation(picture), picture.info.get("icc_profile")
    small = _bounded(_plain(picture), side)
    upright = _turned(small, orientation)
    result = _in_srgb(_on_white(upright), profile if isinstance(profile, bytes) else None)
    result.info = {}
    return result


def encoded(picture: Image.Image, quality: int) -> bytes:
    """A baseline JPEG without metadata, with full colour resolution for the skin's sake."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, subsampling="4:4:4", optimize=False, progressive=False)
    return out.getvalue()


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 # broken metadata raises whatever the parser met; the picture itself is fine
        return 1
    return value if isinstance(value, int) else 1


def _plain(picture: Image.Image) -> Image.Image:
    """A mode that can be scaled without loss: L, RGB, RGBA or CMYK."""
    if picture.mode in {"L", "RGB", "RGBA", "CMYK"}:
        return picture
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return picture.point(lambda value: value / 256).convert("L")
    if picture.mode in {"LA", "La", "PA", "RGBa"} or "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _bounded(picture: Image.Image, side: int) -> Image.Image:
    if max(picture.size) <= side:
        return picture
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    ground = Image.new("RGB", picture.size, (255, 255, 255))
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """By the embedded profile when it can be used, by the mode alone otherwise."""
    if profile:
        try:
            return _converted(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken or foreign profile is ignored, as browsers do
    return picture.convert("RGB")


def _converted(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    if picture.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(profile):
        return picture.copy()
    converted = ImageCms.profileToProfile(picture, profile, _SRGB, outputMode="RGB")
    if converted is None:
        raise ValueError("no picture came out of the colour conversion")
    return converted
