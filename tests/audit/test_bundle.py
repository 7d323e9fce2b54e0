"""A bundle needs nothing but the root's fingerprint, and proves nothing under another one."""

import base64
import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tests.audit.world import a_case, disposed
from tests.custody.runs import AT, sealed
from typer.testing import CliRunner

from lifemask.audit.bundle import NEWER_KEYRING, BadBundle, open_bundle, write_bundle
from lifemask.audit.case import Case
from lifemask.audit.judging import judge
from lifemask.audit.sigstore import exported
from lifemask.cli.main import app
from lifemask.contracts import new_id
from lifemask.contracts.keyring import Keyring
from lifemask.contracts.signing import unseal
from lifemask.custody.envelopes import PAYLOAD_TYPE
from lifemask.testkit.keys import SINCE, make_keys, test_keys


@pytest.fixture
async def case() -> Case:
    made = await sealed()
    await disposed(made)
    return await a_case(made)


def bundle_of(case: Case) -> bytes:
    return write_bundle(case, test_keys().keyring.data)


async def test_a_bundle_is_judged_like_its_case_as_far_as_it_goes(case: Case) -> None:
    opened = open_bundle(bundle_of(case), test_keys().root.keyid)
    assert opened.case.custody == case.custody
    offline, online = judge(opened.case, opened.keyring), judge(case, test_keys().keyring)
    assert offline.holds
    said = {finding.name: (finding.state, finding.who, finding.at, finding.found) for finding in offline.findings}
    for finding in online.findings:
        if finding.who:
            assert said[finding.name] == (finding.state, finding.who, finding.at, finding.found)


async def test_the_same_case_gives_the_same_bundle(case: Case) -> None:
    assert bundle_of(case) == bundle_of(case)


@pytest.mark.parametrize("root", ["SHA256:" + "A" * 43, "", "nonsense"])
async def test_another_root_is_refused(case: Case, root: str) -> None:
    with pytest.raises(BadBundle):
        open_bundle(bundle_of(case), root)


async def test_a_keyring_of_another_root_is_refused(case: Case) -> None:
    other = make_keys()
    with pytest.raises(BadBundle):
        open_bundle(write_bundle(case, other.keyring.data), test_keys().root.keyid)
    report = judge(case, other.keyring)
    assert not report.holds


def rolled_back() -> bytes:
    """The keyring of today: since the bundle's, publisher's and trainer's keys are known to be stolen long ago."""
    found = test_keys()
    stolen = {"compromised_at": AT - timedelta(days=1)}
    keys = [
        key.model_copy(update=stolen) if key.holder in {"trainer", "publisher"} else key
        for key in found.keyring.contents.keys
    ]
    return Keyring.issue(2, keys, found.root, SINCE).data


async def test_an_older_keyring_in_the_file_is_not_what_it_is_judged_by(case: Case) -> None:
    root = test_keys().root.keyid
    opened = open_bundle(bundle_of(case), root, keyring=rolled_back())
    assert opened.keyring.version == 2
    assert "weights: key compromised" in {one.why for one in judge(opened.case, opened.keyring).broken}
    newer = open_bundle(write_bundle(case, rolled_back()), root, keyring=test_keys().keyring.data)
    assert newer.keyring.version == 2
    with pytest.raises(BadBundle, match="version 1, older than 2"):
        open_bundle(bundle_of(case), root, version=2)
    with pytest.raises(BadBundle):
        open_bundle(bundle_of(case), root, keyring=make_keys().keyring.data)


def test_the_command_says_when_it_knows_of_no_newer_keyring(case: Case, tmp_path: Path) -> None:
    bundle, ring = tmp_path / "bundle.json", tmp_path / "keyring.json"
    bundle.write_bytes(bundle_of(case))
    ring.write_bytes(rolled_back())

    def audited(*more: str) -> tuple[int, dict[str, Any]]:
        call = ["audit", "--offline", str(bundle), "--root", test_keys().root.keyid, *more, "--json"]
        result = CliRunner().invoke(app, call)
        return result.exit_code, json.loads(result.stdout)

    code, said = audited()
    assert (code, said["keyring"], NEWER_KEYRING in said["cannot_see"]) == (0, 1, True)
    code, said = audited("--keyring-version", "1")
    assert (code, NEWER_KEYRING in said["cannot_see"]) == (0, False)
    code, said = audited("--keyring", str(ring))
    assert (code, said["keyring"], said["holds"]) == (1, 2, False)
    code, said = audited("--keyring-version", "2")
    assert (code, said["event"]) == (1, "problem")
    assert CliRunner().invoke(app, ["audit", new_id(), "--keyring-version", "2"]).exit_code == 2


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"format": "x"}', b"[" * 100_000])
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(BadBundle):
        open_bundle(data, test_keys().root.keyid)


@pytest.mark.parametrize(
    ("member", "value"),
    [("user", "../x"), ("run", "no"), ("attempt", 0), ("files", {"owner.json": "%"}), ("more", 1), ("keyring", "AAAA")],
)
async def test_a_damaged_bundle_is_refused(case: Case, member: str, value: object) -> None:
    damaged = json.loads(bundle_of(case)) | {member: value}
    with pytest.raises(BadBundle):
        open_bundle(json.dumps(damaged).encode(), test_keys().root.keyid)


async def test_names_that_are_no_files_of_ours_are_broken_and_harmless(case: Case) -> None:
    found = json.loads(bundle_of(case))
    found["files"]["../../etc/passwd"] = base64.b64encode(b"x").decode()
    opened = open_bundle(json.dumps(found).encode(), test_keys().root.keyid)
    assert {one.name for one in judge(opened.case, opened.keyring).broken} == {"other objects", "passwd"}


async def test_openssl_and_cosign_get_what_they_need_for_each_statement(case: Case, tmp_path: Path) -> None:
    for name, content in exported(case, test_keys().keyring):
        (tmp_path / name).write_bytes(content)
    names = {name for name, _ in exported(case, test_keys().keyring)}
    for number, (step, holder) in enumerate(
        (
            ("upload", "ingest"),
            ("validation", "image-validator"),
            ("dataset", "packager"),
            ("training", "trainer"),
            ("weights", "trainer"),
            ("publication", "publisher"),
        ),
        start=1,
    ):
        stem = f"{number}-{step}-1"
        assert {f"{stem}.sigstore.json", f"{stem}.pae", f"{stem}.sig", f"{holder}.pub"} <= names
        assert _verifies(tmp_path, stem, holder)
        assert not _verifies(tmp_path, stem, "ingest" if holder != "ingest" else "packager")
        bundle = json.loads((tmp_path / f"{stem}.sigstore.json").read_text())
        envelope = json.dumps(bundle["dsseEnvelope"], separators=(",", ":"), sort_keys=True).encode()
        assert unseal(envelope, PAYLOAD_TYPE).keyid == bundle["verificationMaterial"]["publicKey"]["hint"]


def _verifies(folder: Path, stem: str, holder: str) -> bool:
    """By openssl where it is there (the words of docs/custody.md), by the library anywhere."""
    key = load_pem_public_key((folder / f"{holder}.pub").read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    try:
        key.verify((folder / f"{stem}.sig").read_bytes(), (folder / f"{stem}.pae").read_bytes())
        verified = True
    except InvalidSignature:
        verified = False
    if openssl := shutil.which("openssl"):
        command = f"pkeyutl -verify -rawin -pubin -inkey {holder}.pub -sigfile {stem}.sig -in {stem}.pae"
        done = subprocess.run([openssl, *command.split()], cwd=folder, capture_output=True, check=False)
        assert (done.returncode == 0) is verified
    return verified
