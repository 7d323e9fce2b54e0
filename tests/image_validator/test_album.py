"""Which photos of a set repeat another."""

from dataclasses import replace

from tests.image_validator.policies import POLICY
from tests.image_validator.test_verdicts import GOOD

from lifemask.contracts import Verdict, new_id
from lifemask.image_validator.domain.album import (
    Album,
    Clean,
    Photo,
    SealedPhoto,
    Terms,
    appraise,
    changed,
    compare,
    contradicts,
    is_judged,
    matches,
    usable_of,
)
from lifemask.image_validator.domain.photo import Examined

RUN = new_id()
FAR = (1 << 255) - 1
TERMS = Terms(POLICY.digest, "test encoder")


def photo(place: int, likeness: int | None = 0, *faults: Verdict) -> Photo:
    return Photo(
        "acme.u1", RUN, new_id(), place, GOOD, faults, f"{place:064x}", TERMS, likeness, Clean("c" * 64, 9), told=True
    )


def twins(photos: tuple[Photo, ...]) -> list[int | None]:
    """For each photo the place of the one it repeats."""
    places = {one.photo_id: one.place for one in photos}
    return [places[one.similar_to] if one.similar_to else None for one in photos]


def test_of_two_alike_the_earlier_one_counts() -> None:
    assert twins(compare([photo(1), photo(2), photo(3, FAR)], POLICY)) == [None, 1, None]
    assert twins(compare([photo(2), photo(1)], POLICY)) == [None, 2]


def test_alike_means_at_most_the_threshold_of_bits() -> None:
    near, far = (1 << POLICY.max_likeness) - 1, (1 << (POLICY.max_likeness + 1)) - 1
    assert twins(compare([photo(1), photo(2, near), photo(3, far)], POLICY)) == [None, 1, None]


def test_a_photo_that_cannot_be_used_takes_nobodys_place() -> None:
    assert twins(compare([photo(1, None, Verdict.BLURRY), photo(2)], POLICY)) == [None, None]


def test_a_duplicate_hides_nobody() -> None:
    """1 ~ 2 and 2 ~ 3, but 1 is not like 3: the third counts, since the second does not."""
    second, third = (1 << 50) - 1, (1 << 100) - 1
    assert twins(compare([photo(1), photo(2, second), photo(3, third)], POLICY)) == [None, 1, None]


def test_with_the_first_one_gone_the_next_one_counts() -> None:
    first, second, third = compare([photo(1), photo(2), photo(3)], POLICY)
    again = compare([second, third], POLICY)
    assert twins(again) == [None, 2]
    assert usable_of(again) == (again[0],)
    known = {one.photo_id: one for one in (first, second, third)}
    assert changed(again, known) == again


def test_what_did_not_change_is_not_told_again() -> None:
    one, two = photo(1), photo(2, FAR)
    known = {one.photo_id: one, two.photo_id: two}
    assert changed(compare([one, two], POLICY), known) == ()
    assert changed(compare([one, replace(two, told=False)], POLICY), known) == (replace(two, told=False),)


def test_places_and_presence() -> None:
    one, two = photo(2), replace(photo(1), removed=True)
    album = Album({one.photo_id: one, two.photo_id: two})
    assert album.present == [one]
    assert album.next_place == 3
    assert Album({}).next_place == 1


def test_a_stored_judgement_counts_for_the_sealed_bytes_only() -> None:
    one = photo(1)
    sealed = SealedPhoto(one.photo_id, "0" * 63 + "1", 9)
    assert is_judged(one, sealed, POLICY, TERMS)
    assert not is_judged(one, replace(sealed, sha256="9" * 64), POLICY, TERMS)
    assert not is_judged(replace(one, bound=False), sealed, POLICY, TERMS)
    assert not is_judged(replace(one, removed=True), sealed, POLICY, TERMS)
    assert not is_judged(None, sealed, POLICY, TERMS)
    for other in (Terms("other thresholds", TERMS.encoder), Terms(TERMS.policy, "other encoder"), None):
        assert not is_judged(replace(one, terms=other), sealed, POLICY, TERMS)


def test_of_a_photo_that_was_too_large_for_an_earlier_limit_nothing_is_known() -> None:
    one = replace(photo(1), original=None)
    sealed = SealedPhoto(one.photo_id, "1" * 64, 9)
    assert contradicts(one, sealed, POLICY)
    assert not contradicts(replace(one, terms=Terms("other thresholds", "encoder")), sealed, POLICY)


def test_an_original_that_was_too_large_to_read_needs_no_digest() -> None:
    assert matches(None, SealedPhoto("p", "1" * 64, POLICY.max_bytes + 1), POLICY)
    assert not matches(None, SealedPhoto("p", "1" * 64, POLICY.max_bytes), POLICY)


def test_bytes_that_were_not_announced_cannot_be_used() -> None:
    seen = Examined(GOOD, (), "a" * 64, 5, b"jpeg")
    assert appraise("acme.u1", RUN, new_id(), 1, seen, terms=TERMS, bound=True).usable
    foreign = appraise("acme.u1", RUN, new_id(), 1, seen, terms=TERMS, bound=False)
    assert foreign.verdicts == (Verdict.UNREADABLE,)
    assert (foreign.clean, foreign.likeness, foreign.bound) == (None, None, False)
