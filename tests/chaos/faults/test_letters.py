"""A message that fails for too long lies aside; its run waits, an operator sends it on once, and the run is ready."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.faults.house import House, house
from tests.chaos.faults.letters import letters, more_letters, operator_says
from tests.chaos.faults.people import PATIENCE, ended, street
from tests.system.commands import command
from tests.system.conftest import a_person
from tests.system.photos import good
from tests.system.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def home(folder: Path) -> Iterator[House]:
    """Gives up after two attempts."""
    with house(folder, {"LIFEMASK_MAX_ATTEMPTS": "2"}) as system:
        yield system


async def test_a_run_goes_on_from_its_dead_letter_and_only_once(home: House) -> None:
    async with street(home) as there:
        await there.outside.fault("commit", "answer", status=412, times=None)
        person = a_person(there.http)
        run = await person.accepted(good(12))
        (letter,) = await eventually(lambda: more_letters(home, set(), 1), PATIENCE)

        async def is_told() -> bool:
            view = await person.view(run)
            return bool(view["status"] == "publishing" and view["delayed"])

        await eventually(is_told)
        code, (dry,) = await command(home, "dead-letters", "replay", letter)
        assert (code, dry["ordered"]) == (0, False)
        await there.outside.mend()
        assert await letters(home) == {letter}
        code, lines = await operator_says(home, "replay", letter)
        assert (code, lines[-1]["outcome"]) == (0, "replayed")
        assert (await ended(person, run))["status"] == "ready"
        code, _ = await operator_says(home, "replay", letter)
        assert code == 1
        await there.sound()
