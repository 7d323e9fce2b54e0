"""An ICC profile for colours that a file describes by code points (ITU-T H.273) alone.

The brightness curves of ordinary video are taken as that of sRGB, as browsers do, and so is HLG, which was made to be
shown that way. PQ counts in nits: white paper has 203 (ITU-R BT.2408), and highlights are rolled off.
"""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

_D65: Final = (0.3127, 0.3290)
_PRIMARIES: Final = {
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),  # BT.601, 625 lines
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),  # BT.601, 525 lines
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_BT709: Final = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_GAMMAS: Final = {4: 2.2, 5: 2.8, 8: 1.0}
_PQ: Final = 16
_PAPER_WHITE: Final = 203.0
_KNEE: Final = 0.75
"""Share of paper white up to which light stays as it is; what is brighter is pressed into the rest."""
_D50: Final = (0.9642, 1.0, 0.8249)
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Matrix = npt.NDArray[np.float64]


@cache
def profile_of(primaries: int, transfer: int) -> bytes | None:
    """A matrix profile (ICC 4), or None when it is sRGB or nothing is known."""
    if primaries not in _PRIMARIES and transfer not in {*_GAMMAS, _PQ}:
        return None
    columns = _to_d50(_PRIMARIES.get(primaries, _BT709)).T
    tags = {
        b"desc": _text("Colours by code points"),
        b"cprt": _text("CC0"),
        b"wtpt": _xyz(_D50),
        **{name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(transfer)),
    }
    return _file(tags)


def _to_d50(primaries: Sequence[tuple[float, float]]) -> Matrix:
    """RGB to XYZ with white at D50, as profiles want it."""
    corners = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    x, y = _D65
    white = np.array((x / y, 1, (1 - x - y) / y))
    matrix = corners * np.linalg.solve(corners, white)
    scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ matrix)


def _curve(transfer: int) -> bytes:
    if transfer == _PQ:
        samples = np.round(_rolled_off(np.linspace(0, 1, 4096)) * 65535).astype(">u2")
        return b"curv" + bytes(4) + struct.pack(">I", samples.size) + samples.tobytes()
    if gamma := _GAMMAS.get(transfer):
        return b"para" + bytes(4) + struct.pack(">HHi", 0, 0, _fixed(gamma))
    values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(_fixed(value) for value in values))


def _rolled_off(signal: Matrix) -> Matrix:
    """Linear light (0 to 1) of a PQ signal (SMPTE ST 2084), highlights rolled off."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    light = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) / _PAPER_WHITE
    over = np.maximum(light - _KNEE, 0) / (1 - _KNEE)
    return np.asarray(np.minimum(light, _KNEE) + (1 - _KNEE) * (1 - np.exp(-over)))


def _fixed(value: float) -> int:
    return round(value * 65536)


def _xyz(values: Sequence[float] | Matrix) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(_fixed(float(value)) for value in values))


def _text(text: str) -> bytes:
    body = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(body), 28) + body


def _file(tags: dict[bytes, bytes]) -> bytes:
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(_D50)[8:] + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body
