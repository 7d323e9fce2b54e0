"""How sharp, bright and full of detail a picture is, and what it looks like in 255 bits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE = 1024
_TILE = 16
_HASH_SIDE = 32
_HASH_WAVES = 16
_BLACK, _WHITE = 5, 250

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Looks:
    """Measures of the luma at a long side of 1024 pixels, rounded so that they print alike everywhere."""

    sharpness: float
    brightness: float
    black: float
    white: float
    contrast: float


def luma_of(picture: Image.Image) -> Image.Image:
    """Luma at a long side of at most 1024. Never enlarged: that would read as blur.

    One size for all, because the noise of a 12 MP phone reads as sharpness at its own size.
    """
    luma = picture.convert("L")
    scale = _SIDE / max(luma.size)
    if scale >= 1:
        return luma
    size = (max(1, round(luma.width * scale)), max(1, round(luma.height * scale)))
    return luma.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def looks_of(luma: Image.Image) -> Looks:
    """Sharpness, exposure and contrast of a luma plane."""
    plane = np.asarray(luma)
    shares = np.bincount(plane.ravel(), minlength=256) / plane.size
    levels = np.arange(256)
    mean = float(shares @ levels)
    return Looks(
        sharpness=round(_sharpness(plane.astype(np.float32)), 2),
        brightness=round(mean, 2),
        black=round(float(shares[: _BLACK + 1].sum()), 4),
        white=round(float(shares[_WHITE:].sum()), 4),
        contrast=round(float(np.sqrt(shares @ (levels - mean) ** 2)), 2),
    )


def _sharpness(plane: Plane) -> float:
    """95th percentile over tiles of the Laplacian's variance: a sharp face before a soft background still scores."""
    if min(plane.shape) < _TILE + 2:
        return 0.0
    edges = 4 * plane[1:-1, 1:-1] - plane[:-2, 1:-1] - plane[2:, 1:-1] - plane[1:-1, :-2] - plane[1:-1, 2:]
    rows, columns = edges.shape[0] // _TILE, edges.shape[1] // _TILE
    tiles = edges[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
    mean = tiles.mean((1, 3))
    variance = np.einsum("aibj,aibj->ab", tiles, tiles) / _TILE**2 - mean * mean
    return float(np.percentile(variance, 95))


def _cosines() -> npt.NDArray[np.float64]:
    waves, points = np.arange(_HASH_WAVES)[:, None], np.arange(_HASH_SIDE)[None, :] + 0.5
    return np.cos(np.pi / _HASH_SIDE * waves * points)


_COSINES = _cosines()


def likeness_of(luma: Image.Image) -> int:
    """255 bits: which of the 16 x 16 slowest waves of the picture at 32 x 32 are above the median (a pHash).

    The number of bits in which two pictures differ says how different they look.
    """
    small = np.asarray(luma.resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.BOX), dtype=np.float64)
    waves = (_COSINES @ small @ _COSINES.T).ravel()[1:]
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes(), "big")
