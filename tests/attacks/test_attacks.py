"""Every attack comes to nothing, and succeeds once its gates are taken away: so it is these that hold."""

import pytest
from tests.attacks.attack import Attack, Scene
from tests.attacks.book import BOOK
from tests.attacks.campaign import Results
from tests.attacks.judging import assert_harmless

ARMED = [one for one in BOOK if not one.no_arm]

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _scene(results: Results, one: Attack) -> Scene:
    found = results[one.name]
    if isinstance(found, BaseException):
        raise found
    return found


@pytest.mark.parametrize("one", BOOK, ids=lambda one: one.name)
async def test_comes_to_nothing(played: Results, one: Attack) -> None:
    await assert_harmless(one, _scene(played, one))


@pytest.mark.parametrize("one", ARMED, ids=lambda one: one.name)
async def test_succeeds_without_its_gate(won: Results, one: Attack) -> None:
    assert one.gates
    assert one.won is not None
    await one.won(_scene(won, one))
