"""Whether the list of attacks is whole."""

from tests.attacks.book import BOOK
from tests.attacks.table import DEFENCES, DOCUMENT, written


def test_every_attack_has_a_control_arm_or_says_why_not() -> None:
    for one in BOOK:
        assert bool(one.no_arm) != bool(one.gates and one.won), one.name


def test_no_two_attacks_have_one_name() -> None:
    assert len({one.name for one in BOOK}) == len(BOOK)


def test_the_document_shows_each_attack_and_what_stops_it() -> None:
    assert written() in DOCUMENT.read_text(), "python -m tests.attacks.table writes it anew"


def test_every_defence_has_an_attack() -> None:
    assert {gate for one in BOOK for gate in one.gates} == set(DEFENCES)
