"""Memory is bounded by threads times the pixel cap, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.image_validator.heics import heic

pytestmark = pytest.mark.slow

MEASURE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from lifemask.image_validator.adapters.imaging import examine
from lifemask.image_validator.settings import ImageValidatorSettings

policy = ImageValidatorSettings(_env_file=None).policy
data = open(sys.argv[1], "rb").read()
examine(data[: len(data) // 2], policy)  # libraries are loaded and warm, and nothing large was kept
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(2) as pool:
    verdicts = [found.verdicts for found in pool.map(lambda _: examine(data, policy), range(4))]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, verdicts[0])
"""


@pytest.mark.parametrize(
    ("mode", "kind", "options", "bytes_a_pixel"),
    [
        ("P", "PNG", {"compress_level": 1}, 9),
        ("RGB", "JPEG", {}, 4),
        ("RGB", "WEBP", {"method": 0}, 16),
        ("RGB", "HEIC", {"tile_size": 512}, 11),
    ],
)
def test_four_pictures_in_two_threads(
    tmp_path: Path, mode: str, kind: str, options: dict[str, int], bytes_a_pixel: int
) -> None:
    """12 megapixels: a palette picture grows to four bytes a pixel and is copied once; a JPEG is halved on the way; a
    WebP decoder keeps two canvases, a HEIC decoder tiles, planes and the picture.
    """
    from PIL import Image

    pixels = 4000 * 3000
    file = tmp_path / "large"
    picture = Image.linear_gradient("L").resize((4000, 3000)).convert(mode)
    if kind == "HEIC":
        file.write_bytes(heic(picture, **options))
    else:
        picture.save(file, kind, **options)
    run = subprocess.run([sys.executable, "-c", MEASURE, str(file)], capture_output=True, text=True, check=True)
    grown = int(run.stdout.split()[0])
    assert grown < 2 * bytes_a_pixel * pixels + 20_000_000  # libraries
