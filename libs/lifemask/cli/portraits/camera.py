"""What a camera does to a scene: light, lens, grain, and the file with what it tells about the place and the device."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

Pixels = NDArray[np.float32]

_GRAIN: Final = 4.0
"""Standard deviation of the grain at the drawing's size, in steps of 256. White noise of s gives the 4-neighbour
Laplacian a variance of 20 s² = 320, far above the 12 below which a photo counts as blurred."""
_QUALITY: Final = 86


@dataclass(frozen=True, slots=True)
class Camera:
    """A device: make and model as EXIF names them, long and short side in pixels, file format."""

    make: str
    model: str
    size: tuple[int, int]
    format: str = "JPEG"
    orientation: int = 1
    """EXIF: 1 upright, 3 upside down, 6 and 8 the sensor lay on its side."""


CAMERAS: Final = (
    Camera("Apple", "iPhone 12", (4032, 3024), orientation=6),
    Camera("Canon", "EOS 1100D", (2256, 1504)),
    Camera("samsung", "SM-G960F", (2560, 1440)),
    Camera("Apple", "iPhone 6", (3264, 2448), orientation=3),
    Camera("NIKON CORPORATION", "NIKON D40", (2000, 1312), orientation=8),
    Camera("FUJIFILM", "X10", (2816, 2112)),
    Camera("Google", "Pixel 4", (2016, 1512), orientation=6),
    Camera("SONY", "DSC-RX100", (2400, 1600)),
)
SCREENSHOT: Final = Camera("", "", (1400, 1050), "PNG")
MESSENGER: Final = Camera("", "", (1600, 1200), "WEBP")


def expose(image: Image.Image, dice: np.random.Generator, *, light: float = 1.0) -> Image.Image:
    """The drawing as a photo of the same size: light from one side, vignette, colour cast, grain."""
    pixels: Pixels = np.asarray(image, dtype=np.float32)
    height, width = pixels.shape[:2]
    across: Pixels = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down: Pixels = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope_x, slope_y = dice.uniform(-0.3, 0.3, size=2)
    lit = 1.0 + slope_x * across + slope_y * down - 0.14 * (across**2 + down**2)
    cast = dice.uniform(0.93, 1.06, size=3).astype(np.float32)
    grain = _grain(dice, height, width) * min(light, 1)
    return Image.fromarray(
        np.clip(pixels * (lit[:, :, None] * cast * light) + grain[:, :, None], 0, 255).astype(np.uint8)
    )


def _grain(dice: np.random.Generator, height: int, width: int) -> Pixels:
    """Fine noise upon clumps of three pixels, as film has."""
    fine: Pixels = dice.standard_normal((height, width), dtype=np.float32)
    few: Pixels = dice.standard_normal((height // 3 + 1, width // 3 + 1), dtype=np.float32)
    clumps = few.repeat(3, axis=0).repeat(3, axis=1)[:height, :width]
    return fine * np.float32(_GRAIN) + clumps * np.float32(_GRAIN / 2)


def develop(image: Image.Image, camera: Camera, number: int) -> bytes:
    """The file that the camera writes: its size, its format, EXIF with rotation, device, date and place."""
    long_side, short_side = camera.size
    upright = camera.size if image.width >= image.height else (short_side, long_side)
    whole = image.resize(upright, Image.Resampling.BICUBIC)
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    if camera.orientation in turn:
        whole = whole.transpose(turn[camera.orientation])
    file = io.BytesIO()
    if camera.format == "PNG":
        whole.save(file, "PNG", compress_level=1)
    elif camera.format == "WEBP":
        whole.save(file, "WEBP", quality=_QUALITY, method=0)
    else:
        whole.save(file, "JPEG", quality=_QUALITY, exif=_exif(camera, number))
    return file.getvalue()


def _exif(camera: Camera, number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = camera.make
    exif[ExifTags.Base.Model] = camera.model
    exif[ExifTags.Base.Orientation] = camera.orientation
    exif[ExifTags.Base.DateTime] = f"2024:05:{number % 28 + 1:02} 12:00:00"
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, float(number))
    place[ExifTags.GPS.GPSLongitudeRef] = "E"
    place[ExifTags.GPS.GPSLongitude] = (11.0, 34.0, float(number))
    return exif
