"""`lifemask-contracts` as others get it: one wheel, pydantic only, typed."""

import json
import re
import subprocess
import sys
import tomllib
from email.parser import Parser
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest
from tools.event_schemas import ROOT

CONTRACTS = ROOT / "contracts"
BROUGHT = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
"""pydantic and what it needs."""

APP = """
import json
from lifemask.contracts import ModelReady, Record, new_id, pack, parse
from datetime import datetime, UTC

record: Record = pack(ModelReady.example(), id=new_id(), source="test", time=datetime.now(UTC))
event = parse(record)
assert event == ModelReady.example()
print(json.dumps(event.model_dump()))
"""

IMPORTED = """
import json, sys
before = set(sys.modules)
import lifemask.contracts
new = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before}
print(json.dumps([name for name, file in new.items() if "site-packages" in (file or "")]))
"""
"""Prints the modules of other packages that an import loads."""


def run(*command: object, folder: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=CONTRACTS)
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    sources = (CONTRACTS / "lifemask" / "contracts").iterdir()
    assert found == {f"lifemask/contracts/{path.name}" for path in sources if path.is_file()}
    assert "lifemask/contracts/py.typed" in found


def test_the_wheel_asks_for_pydantic_alone(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    project = tomllib.loads((CONTRACTS / "pyproject.toml").read_text())["project"]
    assert metadata.get_all("Requires-Dist") == project["dependencies"]
    assert [re.split(r"\W", each)[0] for each in project["dependencies"]] == ["pydantic"]
    assert (metadata["Version"], metadata["Requires-Python"]) == (project["version"], ">=3.11")


def test_importing_it_brings_pydantic_alone() -> None:
    brought = json.loads(run(sys.executable, "-c", IMPORTED))
    assert {name.partition(".")[0] for name in brought} == BROUGHT


def pinned() -> str:
    """The lines of requirements.lock for pydantic and what it needs, with their hashes."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    return "\n".join(block for block in blocks if re.split("==", block)[0].replace("-", "_") in BROUGHT)


@pytest.mark.real
@pytest.mark.timeout(180)  # a new environment, and downloads
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Needs a package index. The type checker is ours; what it sees is the empty environment's."""
    wanted, app, python = tmp_path / "wanted.txt", tmp_path / "app.py", tmp_path / "venv" / "bin" / "python"
    wanted.write_text(f"{pinned()}\n{wheel.as_uri()} --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n")
    app.write_text(APP)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--require-hashes", "-r", wanted)
    installed = json.loads(run(python, "-m", "pip", "list", "--disable-pip-version-check", "--format=json"))
    names = {each["name"].replace("-", "_") for each in installed} - {"pip", "setuptools"}
    assert names == {"lifemask_contracts", *BROUGHT}
    assert json.loads(run(python, "-I", app))["user_id"] == "acme.user-42"
    run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, app, folder=tmp_path)
    app.write_text(f"{APP}\nnumber: int = event\n")
    with pytest.raises(AssertionError, match='expression has type "ModelReady"'):
        run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, app, folder=tmp_path)
