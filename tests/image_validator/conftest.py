"""Fixtures of the validator's tests."""

from collections.abc import Iterator

import pytest
from tests.image_validator.policies import POLICY

from lifemask.image_validator.adapters.imaging import PillowImaging, open_imaging


@pytest.fixture(scope="session")
def imaging() -> Iterator[PillowImaging]:
    """Real decoding with the default thresholds, in two threads."""
    with open_imaging(POLICY, 2) as opened:
        yield opened
