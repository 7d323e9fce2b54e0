"""What goes into an archive, and what is wrong with one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifemask.contracts import new_id
from lifemask.packager.domain import (
    ArchiveReport,
    CleanPhoto,
    FoundMember,
    Member,
    Minimum,
    find_problem,
    find_shortage,
    plan_archive,
)

STATEMENT = "ab12cd34" + "0" * 56


def photos(count: int, size: int = 10_000) -> tuple[CleanPhoto, ...]:
    return tuple(CleanPhoto(new_id(), f"{n:064x}", size) for n in range(count))


def report(plan: tuple[Member, ...]) -> ArchiveReport:
    return ArchiveReport("f" * 64, 1, tuple(FoundMember(one.name, one.sha256, one.bytes) for one in plan))


def test_names_carry_the_nonce_and_keep_the_order() -> None:
    plan = plan_archive(photos(12), STATEMENT)
    assert [one.name for one in plan][:2] == ["ab12cd34-01.jpg", "ab12cd34-02.jpg"]
    assert plan[-1].name == "ab12cd34-12.jpg"


@given(st.integers(1, 1200))
def test_names_are_flat_unique_and_sort_as_they_are_packed(count: int) -> None:
    names = [one.name for one in plan_archive([CleanPhoto("p", "d", 1)] * count, STATEMENT)]
    assert names == sorted(set(names))
    assert not any("/" in name or "\\" in name for name in names)


@pytest.mark.parametrize(
    ("count", "size", "said"),
    [
        (11, 10_000, "11 images, at least 12 are needed"),
        (12, 4999, "less than 60000 bytes"),
        (12, 5000, None),
    ],
)
def test_an_archive_has_a_smallest_size(count: int, size: int, said: str | None) -> None:
    shortage = find_shortage(plan_archive(photos(count, size), STATEMENT), Minimum(12, 60_000))
    assert (shortage is None) == (said is None)
    if shortage and said:
        assert shortage.code == "archive_too_small"
        assert said in shortage.what


def test_the_planned_archive_has_no_problem() -> None:
    plan = plan_archive(photos(12), STATEMENT)
    assert find_problem(plan, report(plan)) is None


def test_every_difference_is_a_problem() -> None:
    plan = plan_archive(photos(12), STATEMENT)
    whole = report(plan)
    first, *others = whole.members
    for members in (
        tuple(others),
        (*whole.members, first),
        (replace(first, name="other.jpg"), *others),
        (replace(first, sha256="9" * 64), *others),
        (replace(first, bytes=1), *others),
        (others[0], first, *others[1:]),
    ):
        assert find_problem(plan, replace(whole, members=members)) is not None
    assert find_problem(plan, replace(whole, problem="it ends too early")) == "it ends too early"
