"""The runbook knows every state that calls for somebody: what pauses, what readiness shows, what the log says."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from lifemask.bus.circuit import AWAY
from lifemask.bus.roles import SERVICES
from lifemask.bus.service import Readiness
from lifemask.contracts import CATALOGUE, FailureCode
from lifemask.contracts.failures import Category
from lifemask.notifier.domain import State, Why
from lifemask.trainer.domain import settling

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
SOURCES = [
    path
    for folder in (ROOT / "libs" / "lifemask", ROOT / "services" / "lifemask")
    for path in folder.rglob("*.py")
    if not {"sandbox", "cli"} & set(path.relative_to(folder).parts)
]
"""What runs as a service."""
TEXTS = [path.read_text() for path in SOURCES]
EVENTS = {
    found for text in TEXTS for found in re.findall(r'(?i)\blog\.(?:warning|error|exception)\(\s*"([^"]+)"', text)
}
EVENTS |= {found for text in TEXTS for found in re.findall(r'_LOG\.(?:warning|error|exception)\(\s*"([^"]+)"', text)}
METRICS = {
    found
    for text in TEXTS
    for found in re.findall(r'\.create_\w+\(\s*"([^"]+)"', text)
    if found.startswith("lifemask.")
}


@pytest.mark.parametrize(
    "code", sorted(code for code in FailureCode if code in AWAY or CATALOGUE[code].category is Category.CONFIGURATION)
)
def test_every_reason_of_a_pause_is_there(code: FailureCode) -> None:
    assert f"| `{code.value}` |" in RUNBOOK


@pytest.mark.parametrize("field", [field.name for field in fields(Readiness)])
def test_every_field_of_readiness_is_there(field: str) -> None:
    assert re.search(rf"^\| `{field}`", RUNBOOK, re.MULTILINE)


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_warning_and_error_that_a_service_logs_is_there(event: str) -> None:
    assert f"`{event}`" in RUNBOOK


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_is_there(metric: str) -> None:
    assert f"| `{metric}`" in RUNBOOK


@pytest.mark.parametrize("code", sorted(FailureCode))
def test_every_code_of_a_failure_is_there(code: FailureCode) -> None:
    assert re.search(rf"^\|.*`{code.value}`.*\|", RUNBOOK, re.MULTILINE)


@pytest.mark.parametrize("name", sorted([*State, *Why]))
def test_every_state_of_a_notification_is_there(name: str) -> None:
    assert f"| `{name}` |" in RUNBOOK


def test_every_reason_to_ask_an_operator_is_there() -> None:
    reasons = [
        re.sub(r"\{.*?\}", "N", found)
        for found in re.findall(r'(?:return|or) f?"([^";]+)"', inspect.getsource(settling))
    ]
    assert len(reasons) == 4
    for reason in reasons:
        assert f"| `{reason}` |" in RUNBOOK, reason


def test_what_is_looked_for_is_found() -> None:
    """The control arm: the searches above see what is there."""
    assert {"stage_paused", "archive_withheld", "mail_not_taken", "row_changed"} <= EVENTS
    assert {"lifemask.stage.paused", "lifemask.security.refused"} <= METRICS


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
