"""Memory is bounded by threads times the pixel cap, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(("mode", "kind", "options"), [("P", "PNG", {"compress_level": 1}), ("RGB", "JPEG", {})])
def test_four_pictures_in_two_threads(tmp_path: Path, mode: str, kind: str, options: dict[str, int]) -> None:
    """24 megapixels: a palette picture grows to four bytes a pixel and is copied once; a JPEG is halved on the way."""
    from PIL import Image

    pixels = 6000 * 4000
    file = tmp_path / "large"
    Image.linear_gradient("L").resize((6000, 4000)).convert(mode).save(file, kind, **options)
    run = subprocess.run([sys.executable, "-c", MEASURE, str(file)], capture_output=True, text=True, check=True)
    grown = int(run.stdout.split()[0])
    assert grown < 2 * 8 * pixels
    if kind == "JPEG":
        assert grown < 2 * 4 * pixels
