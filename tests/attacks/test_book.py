"""Whether the list of attacks is whole."""

from tests.attacks.book import BOOK


def test_every_attack_has_a_control_arm_or_says_why_not() -> None:
    for one in BOOK:
        assert bool(one.no_arm) != bool(one.gates and one.won), one.name


def test_no_two_attacks_have_one_name() -> None:
    assert len({one.name for one in BOOK}) == len(BOOK)
