"""What a person reads."""

from pathlib import Path

import pytest
from tests.notifier.world import CANCELED, FAILED, READY, REJECTED, REVOKED, STALLED

from lifemask.notifier.domain import Fact
from lifemask.notifier.letter import Called, write

NAMED = Called("My portrait", "ANNA")
GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("ready", READY),
        ("revoked", REVOKED),
        ("rejected", REJECTED),
        ("failed", FAILED),
        ("canceled", CANCELED),
        ("stalled", STALLED),
    ],
)
def test_the_whole_letter(name: str, fact: Fact) -> None:
    assert write(fact, NAMED).text == (GOLDEN / f"{name}.txt").read_text()


def test_the_page_says_the_same() -> None:
    assert write(REJECTED, NAMED).html == (GOLDEN / "rejected.html").read_text()


@pytest.mark.parametrize(
    ("fact", "subject"),
    [
        (READY, "Your model is ready"),
        (REJECTED, "Your model needs more photos"),
        (FAILED, "Your model could not be made"),
        (CANCELED, "Your model was cancelled"),
        (REVOKED, "Your model was withdrawn"),
    ],
)
def test_a_model_whose_name_is_not_known_is_your_model(fact: Fact, subject: str) -> None:
    assert write(fact, Called()).subject == subject


def test_a_draft_that_nobody_submitted_is_not_called_a_request() -> None:
    letter = write(CANCELED.model_copy(update={"reason": "draft_expired"}), NAMED)
    assert "never submitted" in letter.text
    assert "on request" not in letter.text


def test_a_failure_that_cost_nothing_speaks_of_no_cost() -> None:
    assert "Cost" not in write(FAILED.model_copy(update={"cost_usd": None}), NAMED).text


def test_a_model_that_is_not_on_the_hub_names_no_repository() -> None:
    letter = write(READY.model_copy(update={"hub_repo": None, "hub_commit": None}), NAMED)
    assert "repository" not in letter.text


def test_a_name_stays_on_one_line() -> None:
    letter = write(READY, Called("nice\r\nBcc: all@example.com\u2028 name"))
    assert letter.subject == "“nice Bcc: all@example.com name” is ready"


def test_a_name_is_no_markup() -> None:
    letter = write(READY, Called('<script>alert("x")</script> & more'))
    assert "<script>" not in letter.html
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; more" in letter.html
    assert '<script>alert("x")</script> & more' in letter.text
