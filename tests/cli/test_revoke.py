"""What `lifemask revoke` refuses before it asks anybody."""

import pytest
from tests.cli.conftest import Call

from lifemask.contracts import new_id

REASON = ("--reason", "The photos were another person's.")


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIFEMASK_POSTGRES", "LIFEMASK_KEYS", "LIFEMASK_ACTOR"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_reason_it_is_wrong_usage(lifemask: Call) -> None:
    assert lifemask("revoke", new_id(), "--yes")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("no-id", *REASON), "MODEL"),
        ((new_id(), "--reason", "no"), "--reason"),
        ((new_id(), "--reason", "x" * 501), "--reason"),
        ((new_id(), "--reason", "ask ann@example.org"), "--reason"),
        ((new_id(), "--reason", "two\nlines"), "--reason"),
        ((new_id(), *REASON, "--actor", "Ann Lee"), "--actor"),
    ],
)
def test_what_the_contract_refuses_is_named(lifemask: Call, arguments: tuple[str, ...], what: str) -> None:
    code, (problem,) = lifemask("revoke", *arguments, "--yes")
    assert (code, problem["what"].split()[0]) == (2, what)


def test_without_a_database_the_next_step_is_named(lifemask: Call) -> None:
    code, (problem,) = lifemask("revoke", new_id(), *REASON, "--yes")
    assert (code, "LIFEMASK_POSTGRES" in problem["next_step"]) == (3, True)


def test_a_database_that_does_not_answer_is_named(lifemask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFEMASK_POSTGRES", "postgresql://operator@127.0.0.1:9/lifemask")
    code, (problem,) = lifemask("revoke", new_id(), *REASON, "--yes")
    assert code == 3
    assert problem["what"].startswith("PostgreSQL cannot be read")
