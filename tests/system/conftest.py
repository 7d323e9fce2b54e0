"""One running system for all tests that do not break it, and what they talk to it with."""

import base64
import hashlib
import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.system.app import Person
from tests.system.audited import Audited, collected
from tests.system.checker import broken
from tests.system.history import History
from tests.system.listener import Listener, listening
from tests.system.outside import Outside
from tests.system.photos import good
from tests.system.reading import Sound, read_history
from tests.system.stack import Stack

from lifemask.keys.files import Trust

HERE = Path(__file__).parent
SECRET_NAME = "canary-holiday-7b2e"
"""Stands in the file names of the shared run."""
APPS = ("acme", "other")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A start may take its time."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(90))


@dataclass(frozen=True, slots=True)
class Apps:
    """Two apps that may call; each has a webhook to the listener."""

    path: Path
    keys: dict[str, str]
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that ended with a model."""

    person: Person
    run: str


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder outside pytest's own, whose way is closed to the account that serves PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="lm-system-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture(scope="session")
def apps(folder: Path, listener: Listener) -> Apps:
    keys = {app: f"lm_{secrets.token_urlsafe(32)}" for app in APPS}
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    rows = {
        app: {
            "key_sha256": hashlib.sha256(key.encode()).hexdigest(),
            "webhook_url": f"{listener.url}/hook/{app}",
            "webhook_secret": secret,
        }
        for app, key in keys.items()
    }
    (path := folder / "apps.json").write_text(json.dumps(rows))
    return Apps(path, keys, secret)


@pytest.fixture(scope="session")
def settings(apps: Apps, listener: Listener) -> dict[str, str]:
    return {
        "LIFEMASK_APPS": str(apps.path),
        "LIFEMASK_APP": "acme",
        "LIFEMASK_APP_KEY": apps.keys["acme"],
        "OTEL_EXPORTER_OTLP_ENDPOINT": listener.url,
    }


@pytest.fixture(scope="session")
def stack(folder: Path, settings: dict[str, str]) -> Iterator[Stack]:
    """The shared system, ended by Ctrl-C. Whoever breaks it takes one of their own."""
    (own := folder / "shared").mkdir()
    stack = Stack(own, settings)
    try:
        stack.start()
        yield stack
    finally:
        code, seconds, left = stack.stop()
    assert (code, left) == (0, [])
    assert seconds < 10


@pytest.fixture
async def http(stack: Stack, apps: Apps) -> AsyncIterator[httpx.AsyncClient]:
    """As the app `acme`."""
    async with a_client(stack.url, apps.keys["acme"]) as client:
        yield client


@pytest.fixture
async def outside(stack: Stack) -> AsyncIterator[Outside]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        outside = Outside(client, stack.sandbox)
        await outside.mend()
        yield outside
        assert await outside.faults_left() == [], "a fault did not strike"


@pytest.fixture(scope="module")
def victim(folder: Path, settings: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A system of the module's own, which its tests may break; each starts it when it is down."""
    (own := folder / request.node.path.stem).mkdir()
    stack = Stack(own, settings)
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def person(http: httpx.AsyncClient) -> Person:
    return a_person(http)


@pytest.fixture(scope="session")
def finished() -> dict[str, tuple[str, str]]:
    """Runs that went well and that several tests look at: the person and the run, by name."""
    return {}


@pytest.fixture
async def ready(http: httpx.AsyncClient, outside: Outside, finished: dict[str, tuple[str, str]]) -> Ready:
    """A person with a model, and the run that made it; shared by all who change nothing about it."""
    if "one" not in finished:
        person = a_person(http)
        run = await person.accepted([photo.called(f"{SECRET_NAME}-{photo.name}") for photo in good(13)], name="Anna")
        assert (await person.ended(run))["status"] == "ready"
        finished["one"] = person.name, run
    name, run = finished["one"]
    return Ready(Person(http, "acme", name), run)


@pytest.fixture
async def audited(stack: Stack, ready: Ready) -> Audited:
    model = (await ready.person.view(ready.run))["model"]["id"]
    keyring = Trust(stack.data / "keys").keyring
    return Audited(model, stack, await collected(stack, model, keyring), keyring)


@pytest.fixture
async def sound(stack: Stack, outside: Outside) -> Sound:
    """Waits for quiet, and asserts every invariant. Each test calls it at its end."""

    async def check() -> History:
        return await assert_sound(stack, outside)

    return check


async def assert_sound(stack: Stack, outside: Outside) -> History:
    """A problem is reported to the first test that meets it; those that share the system afterwards are spared."""
    history = await read_history(stack, outside)
    problems = [problem for problem in broken(history) if problem not in stack.reported]
    stack.reported.update(problems)
    assert problems == []
    return history


def a_client(url: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30, follow_redirects=False
    )


def a_person(http: httpx.AsyncClient, app: str = "acme") -> Person:
    return Person(http, app, f"u{uuid4().hex[:12]}")
