"""A place for whole systems that are broken."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """Outside of pytest's own folder, whose way is closed to the account that serves PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="lm-chaos-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder).resolve()
