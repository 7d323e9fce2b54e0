"""What the validator makes of a file, for tests that compare pictures."""

import io

import numpy as np
from PIL import Image
from tests.image_validator.policies import POLICY

from lifemask.image_validator.adapters.imaging import examine
from lifemask.image_validator.domain.photo import Examined


def seen(data: bytes) -> Examined:
    return examine(data, POLICY)


def cleaned(data: bytes) -> Image.Image:
    """The clean photo of a file that must be usable."""
    found = seen(data)
    assert found.verdicts == ()
    assert found.clean is not None
    return Image.open(io.BytesIO(found.clean))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference per channel (0 to 255)."""
    return float(np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16)).mean())
