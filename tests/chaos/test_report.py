"""What the report says of a fault: how the runs ended that were under way."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from tests.chaos.report import Summary
from tests.chaos.storm import Wave, outcomes
from tests.system.history import Fact

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fact(kind: str, run: str | None, seconds: float) -> Fact:
    return Fact(kind=kind, user="acme.u1", run=run, at=NOON + timedelta(seconds=seconds))


FACTS = (
    fact("photo.received", "one", 0),
    fact("model.ready", "one", 20),
    fact("photo.received", "two", 10),
    fact("run.canceled", "two", 30),
    fact("photo.received", "a draft", 0),
    fact("security.reported", None, 0),
)
STRUCK = [(NOON + timedelta(seconds=at), name) for at, name in ((5, "killed"), (15, "killed"), (25, "frozen"))]


def test_a_run_counts_for_each_fault_that_struck_while_it_was_under_way() -> None:
    assert outcomes(STRUCK, FACTS) == {
        "killed": Counter({"model.ready": 2, "run.canceled": 1}),
        "frozen": Counter({"run.canceled": 1}),
    }


def test_the_report_has_a_row_for_each_fault() -> None:
    wave = Wave(1, kills=3, runs=2, over=Counter({"model.ready": 1, "run.canceled": 1}), struck=STRUCK)
    wave.outcomes = outcomes(STRUCK, FACTS)
    text = Summary(7, real=False, waves=[wave], points=None, seconds=1).text()
    assert "| fault | times | ready | cancelled |\n| --- | --- | --- | --- |\n" in text
    assert "| frozen | 1 | 0 | 1 |\n| killed | 2 | 2 | 1 |\n" in text
    assert "seed 7: **3 kills in 1 waves, 2 runs begun, 0 violations.**" in text
