"""Two systems for all attacks: one as it is, and one of which gates can be taken away."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from tests.attacks.attack import Attack
from tests.attacks.book import BOOK
from tests.attacks.campaign import Results, a_donor, play
from tests.attacks.house import OPERATOR, House, a_house
from tests.system.conftest import Apps, folder, listener, settings
from tests.system.conftest import apps as apps_without_keys
from tests.system.stack import Stack

from lifemask.testkit.keys import signing_keys

__all__ = ["apps_without_keys", "folder", "listener", "settings"]

HERE = Path(__file__).parent
WEAKENED = HERE / "weakened"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.attacks)
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def apps(apps_without_keys: Apps) -> Apps:
    """Both apps also announce uploads on Kafka."""
    rows = json.loads(apps_without_keys.path.read_text())
    signing = {name: {**row, "signing_keys": signing_keys(name)} for name, row in rows.items()}
    apps_without_keys.path.write_text(json.dumps(signing))
    return apps_without_keys


def _running(folder: Path, settings: dict[str, str]) -> Iterator[Stack]:
    folder.mkdir()
    told = {
        "LIFEMASK_OPERATOR_MAIL": OPERATOR,
        "LIFEMASK_OPERATOR_GATHER": "1",
        "LIFEMASK_SECURITY_WINDOW": "2",  # each attack shall be told of while it is looked at
    }
    stack = Stack(folder, {**settings, **told})
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def sound(folder: Path, settings: dict[str, str]) -> Iterator[Stack]:
    yield from _running(folder / "sound", settings)


@pytest.fixture(scope="session")
def opened(folder: Path) -> Path:
    """The file that says which gates are open."""
    (path := folder / "opened.json").write_text(json.dumps({}))
    return path


@pytest.fixture(scope="session")
def weakened(folder: Path, settings: dict[str, str], opened: Path) -> Iterator[Stack]:
    more = {"PYTHONPATH": str(WEAKENED), "LIFEMASK_TEST_OPENED": str(opened)}
    yield from _running(folder / "weakened", {**settings, **more})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(sound: Stack, apps: Apps) -> AsyncIterator[House]:
    async with a_house(sound, apps, None) as house:
        yield house


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def weak_house(weakened: Stack, apps: Apps, opened: Path) -> AsyncIterator[House]:
    async with a_house(weakened, apps, opened) as house:
        yield house


def _chosen(request: pytest.FixtureRequest, test: str) -> set[str]:
    """Only the attacks whose tests were asked for are played."""
    return {
        cast("Attack", item.callspec.params["one"]).name
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test and hasattr(item, "callspec")
    }


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def played(house: House, request: pytest.FixtureRequest) -> Results:
    """Every attack, with all gates shut."""
    chosen = _chosen(request, "test_comes_to_nothing")
    return await play(house, [one for one in BOOK if one.name in chosen], opened=False, donor=await a_donor(house))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def won(weak_house: House, request: pytest.FixtureRequest) -> Results:
    """Every attack that has a gate, with its gates open."""
    chosen = _chosen(request, "test_succeeds_without_its_gate")
    attacks = [one for one in BOOK if one.name in chosen]
    return await play(weak_house, attacks, opened=True, donor=await a_donor(weak_house))
