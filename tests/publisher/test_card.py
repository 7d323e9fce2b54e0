"""The model card as its reader sees it."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.publisher.world import REQUEST, RUN, USER, publication, trained

from lifemask.publisher.adapters.hub_card import card_text
from lifemask.publisher.card import plain

GOLDEN = Path(__file__).with_name("card.golden.txt")


def test_the_whole_card() -> None:
    assert card_text(publication(), trained()) == GOLDEN.read_text()


def test_the_card_is_the_same_at_every_fence() -> None:
    assert card_text(publication(3), trained()) == card_text(publication(4), trained())


def test_the_card_names_neither_user_nor_run() -> None:
    text = card_text(publication(), trained())
    assert USER not in text
    assert "user-42" not in text
    assert RUN not in text


def test_without_a_description_no_empty_paragraph_is_left() -> None:
    request = REQUEST.model_copy(update={"description": ""})
    text = card_text(publication(), replace(trained(), request=request))
    assert "# My portrait\n\nA LoRA for" in text


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("My portrait", "My portrait"),
        ("two\nlines\tand\u2028more", "two lines and more"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert\\(1\\)&gt;"),
        ("[click](javascript:x)", "\\[click\\]\\(javascript:x\\)"),
        ("# `code` **bold** |cell|", "\\# \\`code\\` \\*\\*bold\\*\\* \\|cell\\|"),
        ("---\nlicense: mit", "\\-\\-\\- license: mit"),
        ("Zoë & Ann", "Zoë &amp; Ann"),
        ("{repo}", "\\{repo\\}"),
    ],
)
def test_a_persons_own_words_are_shown_as_they_are(written: str, shown: str) -> None:
    assert plain(written) == shown
