"""Verdicts as a table."""

from dataclasses import fields, replace
from typing import Any

import pytest
from tests.image_validator.policies import POLICY

from lifemask.contracts import Verdict
from lifemask.image_validator.domain.photo import Kind, Measured, judge, may_decode

GOOD = Measured(
    Kind.JPEG,
    bytes=3_000_000,
    width=4000,
    height=3000,
    decoded=True,
    sharpness=300.0,
    brightness=110.0,
    black=0.01,
    white=0.01,
    contrast=50.0,
)


@pytest.mark.parametrize(
    ("changes", "verdicts"),
    [
        ({}, []),
        ({"bytes": 0, "kind": Kind.OTHER, "decoded": False}, ["file_too_small"]),
        ({"kind": Kind.OTHER, "decoded": False}, ["not_a_photo"]),
        ({"kind": Kind.HEIC, "decoded": False}, ["heic_not_supported"]),
        ({"bytes": 10_000}, []),
        ({"bytes": 9_999}, ["file_too_small"]),
        ({"bytes": 10_000_000}, []),
        ({"bytes": 10_000_001, "decoded": False, "width": 0, "height": 0}, ["file_too_large"]),
        ({"kind": Kind.HEIC, "bytes": 10_000_001, "decoded": False}, ["file_too_large"]),
        ({"decoded": False}, ["unreadable"]),
        ({"decoded": False, "width": 0, "height": 0}, ["unreadable"]),
        ({"decoded": False, "width": 50_000, "height": 50_000}, ["too_many_pixels"]),
        ({"width": 10_000, "height": 5_000}, []),
        ({"width": 10_001, "height": 5_000}, ["too_many_pixels"]),
        ({"width": 512, "height": 512}, []),
        ({"width": 511, "height": 800}, ["too_few_pixels"]),
        ({"width": 300, "height": 1000}, ["too_few_pixels", "odd_shape"]),
        ({"width": 3000, "height": 1000}, []),
        ({"width": 1000, "height": 3001}, ["odd_shape"]),
        ({"frames": 2, "decoded": False}, ["animated"]),
        ({"sharpness": 12.0}, []),
        ({"sharpness": 11.99}, ["blurry"]),
        ({"brightness": 29.0}, ["too_dark"]),
        ({"black": 0.8}, ["too_dark"]),
        ({"brightness": 236.0}, ["too_bright"]),
        ({"white": 0.8}, ["too_bright"]),
        ({"contrast": 7.0, "sharpness": 0.0}, ["flat"]),
        ({"brightness": 2.0, "contrast": 1.0, "sharpness": 0.0}, ["too_dark"]),
        (
            {"bytes": 5000, "width": 100, "height": 100, "sharpness": 1.0},
            ["file_too_small", "too_few_pixels", "blurry"],
        ),
    ],
)
def test_verdicts(changes: dict[str, Any], verdicts: list[str]) -> None:
    assert list(judge(replace(GOOD, **changes), replace(POLICY, heic=False))) == verdicts


def test_heic_is_judged_as_any_other_where_it_is_taken() -> None:
    assert judge(replace(GOOD, kind=Kind.HEIC), POLICY) == ()
    assert judge(replace(GOOD, kind=Kind.HEIC, decoded=False), POLICY) == (Verdict.UNREADABLE,)


@pytest.mark.parametrize(
    ("width", "height", "frames", "may"),
    [(4000, 3000, 1, True), (0, 0, 1, False), (50_000, 50_000, 1, False), (4000, 3000, 2, False)],
)
def test_only_what_fits_is_decoded(width: int, height: int, frames: int, may: bool) -> None:
    assert may_decode(replace(GOOD, width=width, height=height, frames=frames), POLICY) is may


def test_every_threshold_is_part_of_the_policy_digest() -> None:
    digests = {replace(POLICY, **{one.name: getattr(POLICY, one.name) + 1}).digest for one in fields(POLICY)}
    assert len(digests | {POLICY.digest}) == len(fields(POLICY)) + 1


def test_every_verdict_but_the_duplicate_can_be_reached_here() -> None:
    """The table above must grow with the contract."""
    table = next(mark for mark in test_verdicts.pytestmark if mark.name == "parametrize")
    reached = {code for _, codes in table.args[1] for code in codes}
    assert reached == {verdict.value for verdict in Verdict} - {"duplicate"}
