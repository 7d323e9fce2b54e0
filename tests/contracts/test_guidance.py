"""The words for people who pick photos: complete, short, plain."""

import re

import pytest
from pydantic import ValidationError

from lifemask.contracts import GUIDANCE, Guidance, Occasion, advice_for

TEXTS = [(one.occasion, advice.code, advice.text) for one in GUIDANCE for advice in one.advice]


def test_every_occasion_has_its_advice_once() -> None:
    assert [one.occasion for one in GUIDANCE] == list(Occasion)
    assert all(advice_for(occasion).occasion is occasion for occasion in Occasion)


def test_codes_are_not_used_twice_on_one_occasion() -> None:
    places = [(occasion, code) for occasion, code, _ in TEXTS]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(("occasion", "code", "text"), TEXTS)
def test_texts_are_short_sentences_without_jargon(occasion: Occasion, code: str, text: str) -> None:
    assert len(text) <= 120
    assert len(text.split()) <= 22
    assert text[0].isupper()
    assert text[-1] == "."
    assert not re.search(r"[<>{}@]|https?:|\b(LoRA|dataset|API|upload|run|resolution|metadata|EXIF)\b", text)


def test_the_values_are_frozen() -> None:
    with pytest.raises(ValidationError):
        GUIDANCE[0].title = "other"  # type: ignore[misc] # this is what must not work
    assert Guidance.model_validate_json(GUIDANCE[0].model_dump_json()) == GUIDANCE[0]
