"""The runbook knows every state that calls for somebody: what pauses, what readiness shows, what the log says."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from lifemask.bus.roles import SERVICES
from lifemask.bus.service import Readiness
from lifemask.contracts import CATALOGUE, FailureCode
from lifemask.contracts.failures import Category

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
SOURCES = [*(ROOT / "libs" / "lifemask" / "bus").rglob("*.py"), *(ROOT / "libs" / "lifemask" / "runtime").rglob("*.py")]
ERRORS = {found for path in SOURCES for found in re.findall(r'log\.(?:error|exception)\("(\w+)"', path.read_text())}


@pytest.mark.parametrize(
    "code", sorted(code for code in FailureCode if CATALOGUE[code].category is Category.CONFIGURATION)
)
def test_every_reason_of_a_pause_is_there(code: FailureCode) -> None:
    assert f"| `{code.value}` |" in RUNBOOK


@pytest.mark.parametrize("field", [field.name for field in fields(Readiness)])
def test_every_field_of_readiness_is_there(field: str) -> None:
    assert re.search(rf"^\| `{field}`", RUNBOOK, re.MULTILINE)


@pytest.mark.parametrize("event", sorted(ERRORS))
def test_every_error_that_all_services_log_is_there(event: str) -> None:
    assert f"`{event}`" in RUNBOOK


def test_every_part_that_is_probed_is_there() -> None:
    places = [*(ROOT / "libs" / "lifemask" / "doctor").glob("*.py")]
    parts = {found for path in places for found in re.findall(r'(?:Probe|Finding|_file)\(\s*"(\w+)"', path.read_text())}
    parts |= {
        found for path in places for found in re.findall(r'^_?PART: Final = "(\w+)"', path.read_text(), re.MULTILINE)
    }
    assert len(parts) >= 8
    for part in parts:
        assert f"| `{part}` |" in RUNBOOK, part
    assert len(SERVICES) == 6
