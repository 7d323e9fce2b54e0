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

from lifemask.testkit.keys import test_keys

CONTRACTS = ROOT / "contracts"
BROUGHT = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
"""pydantic and what it needs."""

BROUGHT_TO_VERIFY = {"cryptography", "cffi", "pycparser"}
"""What the extra `verify` adds."""

APP = """
import json
from lifemask.contracts import ModelReady, Record, new_id, pack, parse
from datetime import datetime, UTC

record: Record = pack(ModelReady.example(), id=new_id(), source="test", time=datetime.now(UTC))
event = parse(record)
assert event == ModelReady.example()
print(json.dumps(event.model_dump()))
"""

VERIFYING = """
from datetime import UTC, datetime
from pathlib import Path
from lifemask.contracts import ModelReady, Record, new_id, pack
from lifemask.contracts.keyring import Keyring
from lifemask.contracts.signing import NotAuthentic, Signer, sign, verify

keyring = Keyring.load(Path("keyring.json").read_bytes(), Path("root.fingerprint").read_text())
publisher = Signer.load(Path("publisher.pem"), "publisher")
record: Record = pack(ModelReady.example(), id=new_id(), source="lifemask/publisher", time=datetime.now(UTC))
print(verify(sign(record, publisher), keyring).user_id)
try:
    verify(record, keyring)
except NotAuthentic as refused:
    print(refused.reason)
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
    [crypto] = project["optional-dependencies"]["verify"]
    assert metadata.get_all("Requires-Dist") == [*project["dependencies"], f"{crypto}; extra == 'verify'"]
    assert [re.split(r"\W", each)[0] for each in project["dependencies"]] == ["pydantic"]
    assert re.split(r"\W", crypto)[0] == "cryptography"
    assert (metadata["Version"], metadata["Requires-Python"]) == (project["version"], ">=3.11")


def test_importing_it_brings_pydantic_alone() -> None:
    brought = json.loads(run(sys.executable, "-c", IMPORTED))
    assert {name.partition(".")[0] for name in brought} == BROUGHT


def pinned(names: set[str]) -> str:
    """The lines of requirements.lock for these packages, with their hashes."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    return "\n".join(block for block in blocks if re.split("==", block)[0].replace("-", "_") in names)


def install(wheel: Path, folder: Path, names: set[str], extra: str = "") -> Path:
    """The Python of a new environment with the wheel, and with nothing but `names` beside it. Needs an index."""
    wanted, python = folder / "wanted.txt", folder / "venv" / "bin" / "python"
    digest = sha256(wheel.read_bytes()).hexdigest()
    wanted.write_text(f"{pinned(names)}\nlifemask-contracts{extra} @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--require-hashes", "-r", wanted)
    installed = json.loads(run(python, "-m", "pip", "list", "--disable-pip-version-check", "--format=json"))
    found = {each["name"].replace("-", "_") for each in installed} - {"pip", "setuptools"}
    assert found == {"lifemask_contracts", *names}
    return python


@pytest.mark.real
@pytest.mark.timeout(180)  # a new environment, and downloads
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """The type checker is ours; what it sees is the empty environment's."""
    app, python = tmp_path / "app.py", install(wheel, tmp_path, BROUGHT)
    app.write_text(APP)
    assert json.loads(run(python, "-I", app))["user_id"] == "acme.user-42"
    run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, app, folder=tmp_path)
    app.write_text(f"{APP}\nnumber: int = event\n")
    with pytest.raises(AssertionError, match='expression has type "ModelReady"'):
        run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, app, folder=tmp_path)


@pytest.mark.real
@pytest.mark.timeout(180)  # likewise
def test_a_subscriber_verifies_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    app, python = tmp_path / "app.py", install(wheel, tmp_path, BROUGHT | BROUGHT_TO_VERIFY, "[verify]")
    keys = test_keys()
    (tmp_path / "keyring.json").write_bytes(keys.keyring.data)
    (tmp_path / "root.fingerprint").write_text(keys.root.keyid)
    keys.signers["publisher"].save(tmp_path / "publisher.pem")
    app.write_text(VERIFYING)
    assert run(python, "-I", app, folder=tmp_path) == "acme.user-42\nunsigned\n"
    run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, app, folder=tmp_path)
