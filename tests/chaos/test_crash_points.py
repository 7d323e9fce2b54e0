"""Every crash point that a scenario reaches, at its first and its second hit, in one house: an hour and a quarter."""

from pathlib import Path

import pytest
from tests.chaos.calls import SERVICES
from tests.chaos.house import a_house
from tests.chaos.load import Crowd
from tests.chaos.player import Player
from tests.chaos.points import played

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(10800)]


async def test_every_point_strikes_and_nothing_comes_of_it(home: Path) -> None:
    async with a_house(home) as house:
        outcome = await Player(house, Crowd(house, 1)).play([list(played(service)) for service in SERVICES])
    assert (outcome.missed, outcome.violations) == ([], [])
