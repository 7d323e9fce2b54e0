"""A minute of chaos: twelve kills, one of each service at a named point, the rest seeded. More: `make chaos`."""

from pathlib import Path
from typing import Final

import pytest
from tests.chaos.house import a_house
from tests.chaos.load import Crowd
from tests.chaos.player import Player
from tests.chaos.points import RUN
from tests.chaos.storm import Storm

SEED: Final = 5
KILLS: Final = 6
POINTS: Final = (
    "ingest.after_bus.Bus.commit",
    "image_validator.before_bus.ack",
    "packager.after_seal",
    "trainer.after_create",
    "publisher.after_commit",
    "notifier.after_send",
)


@pytest.mark.timeout(400)
async def test_nothing_is_lost_paid_twice_or_silent(home: Path) -> None:
    async with a_house(home) as house:
        crowd = Crowd(house, SEED, people=2, faces=1)
        outcome = await Player(house, crowd, pumps=2, patience=200).play([[(point, 1, RUN)] for point in POINTS])
        assert (outcome.missed, outcome.violations) == ([], [])
        wave = await Storm(house, SEED, crowd, heavy=False).wave(1, KILLS)
        assert wave.violations == [], f"seed {SEED}: {wave}"
        assert wave.kills >= KILLS
