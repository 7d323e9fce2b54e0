"""Each safeguard holds something: with it a story ends well, without it the checker finds what went wrong."""

from pathlib import Path

import pytest
from tests.chaos.control import ARMS, told
from tests.chaos.house import a_house

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", ARMS)
async def test_the_story_ends_well(home: Path, name: str) -> None:
    async with a_house(home) as house:
        assert await told(house, name) == []


@pytest.mark.parametrize("name", ARMS)
async def test_without_its_safeguard_the_checker_finds_it(home: Path, name: str) -> None:
    async with a_house(home, without=[name]) as house:
        found = await told(house, name)
    expected = tuple(f"invariant {number}:" for number in ARMS[name].invariants)
    assert any(problem.startswith(expected) for problem in found), found
