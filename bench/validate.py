"""Judging and cleaning a 12 MP photo, against decoding and encoding it and nothing else.

`python -m bench.validate`. Both sides take turns in one process; medians. Goal: at most 1.3 times the floor.
"""

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from bench.row import Row, measure
from PIL import Image

from lifemask.image_validator.adapters.imaging import examine
from lifemask.image_validator.settings import ImageValidatorSettings

GOAL = 1.3
ROUNDS = 15


def photo(width: int = 4000, height: int = 3000) -> bytes:
    """A JPEG as large and as grainy as a phone's: about 4 MB."""
    chance = np.random.default_rng(1)
    coarse = Image.fromarray(chance.integers(0, 255, (height // 32, width // 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    grainy = np.clip(smooth + chance.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(grainy).save(out, "JPEG", quality=90)
    return out.getvalue()


def decode_and_encode(data: bytes, quality: int) -> None:
    """The floor: every pixel out and in again."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.save(io.BytesIO(), "JPEG", quality=quality)


def decode_shrink_and_encode(data: bytes, quality: int, side: int) -> None:
    """A floor with the same result: as large as the clean photo is."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        picture.save(io.BytesIO(), "JPEG", quality=quality, subsampling="4:4:4")


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


async def main() -> list[Row]:
    """Milliseconds of both sides, for each floor."""
    policy = ImageValidatorSettings(_env_file=None).policy
    data = photo()
    assert examine(data, policy).verdicts == ()
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: examine(data, policy),
        "decode + encode": lambda: decode_and_encode(data, policy.clean_quality),
        "decode + shrink + encode": lambda: decode_shrink_and_encode(data, policy.clean_quality, policy.clean_side),
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, work in sides.items():
            taken[name].append(milliseconds(work))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    ours = medians.pop("ours")
    return [
        Row(
            what="validate + clean, one 12 MP JPEG",
            measured=round(ours, 1),
            unit="ms",
            floor=round(floor, 1),
            against=name,
            most=GOAL,
        )
        for name, floor in medians.items()
    ]


if __name__ == "__main__":
    measure(main)
