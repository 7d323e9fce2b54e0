import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder outside pytest's own, whose way every starting pytest closes to the account that serves PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="lm-test-") as name:
        yield Path(name).resolve()
