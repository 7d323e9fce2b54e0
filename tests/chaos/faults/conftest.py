"""One house for all tests of a module; whoever stops it leaves it to the next to start."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.faults.house import House, house


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder outside pytest's own, whose way is closed to the account that serves PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="lm-faults-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


@pytest.fixture(scope="module")
def home(folder: Path) -> Iterator[House]:
    with house(folder) as system:
        yield system
