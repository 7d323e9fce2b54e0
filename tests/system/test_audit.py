"""`lifemask audit` of a model that six real processes made: it holds."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.system.audited import Audited
from tests.system.conftest import Ready
from tests.system.stack import Stack

from lifemask.audit.findings import State
from lifemask.cli.chosen import isolated

pytestmark = pytest.mark.slow


async def command(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lifemask.cli.main", "audit", *arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env=isolated(os.environ),
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, [json.loads(line) for line in printed.splitlines()]


async def test_the_command_shows_a_chain_that_holds_and_says_what_it_read(audited: Audited, tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    code, lines = await command(audited.model, "--data", str(audited.stack.data), "--bundle", str(file), "--log")
    assert code == 0, lines
    [said] = lines
    assert (said["holds"], said["broken"], said["unseen"]) == (True, 0, 0)
    chain = {finding["name"]: finding for finding in said["findings"]}
    assert [finding["state"] for finding in said["findings"][:6]] == ["re-hashed"] * 6
    holders = [chain[step]["who"] for step in ("upload", "validation", "dataset", "training", "weights", "publication")]
    assert holders == ["ingest", "image-validator", "packager", "trainer", "trainer", "publisher"]
    below = {each["name"]: each["state"] for each in chain["publication"]["below"]}
    assert below["weights in the model store"] == below["weights on the hub"] == below["model card"] == "re-hashed"
    [archive] = chain["dataset"]["below"]
    assert (archive["state"], "at" in archive) == ("signed, bytes disposed", True)
    assert "Kafka" in {each["name"] for each in chain["events"]["below"]}

    assert file.stat().st_mode & 0o777 == 0o600
    code, [offline] = await command("--offline", str(file), "--root", said["root"])
    assert (code, offline["holds"]) == (0, True)
    assert offline["cannot_see"]
    assert offline["unseen"] > 0
    code, [problem] = await command("--offline", str(file), "--root", "SHA256:" + "A" * 43)
    assert (code, problem["event"]) == (1, "problem")


async def test_a_model_that_nobody_knows_is_said_to_be_unknown(stack: Stack) -> None:
    code, [problem] = await command("0192f7a0-3333-7d3e-8f40-5a6b7c8d9e0f", "--data", str(stack.data))
    assert (code, problem["event"]) == (1, "problem")


async def test_the_sweep_finds_that_everything_is_explained(stack: Stack, ready: Ready) -> None:
    code, lines = await command("--all", "--data", str(stack.data))
    assert (code, [line for line in lines if line["event"] == "unexplained"]) == (0, [])
    assert lines[-1]["models"] >= 1
    assert lines[-1]["unseen"] == []


async def test_what_lies_in_the_store_for_nobody_is_listed_with_its_cost(stack: Stack, ready: Ready) -> None:
    place = stack.data / "objects" / "users" / "acme.nobody" / "models" / ready.run / "1-1"
    place.mkdir(parents=True)
    try:
        (place / "lora.safetensors").write_bytes(b"x" * 1000)
        code, lines = await command("--all", "--data", str(stack.data))
    finally:
        (place / "lora.safetensors").unlink()
    assert code == 1
    [found] = [line for line in lines if line["event"] == "unexplained"]
    assert (found["kind"], found["name"], found["bytes"]) == ("model in the store", f"{ready.run}/1-1", 1000)


async def test_every_finding_has_a_state_of_its_own(audited: Audited) -> None:
    report = audited.judged()
    assert {one.state for finding in report.findings for one in finding.each()} == {
        State.REHASHED,
        State.DISPOSED,
        State.AGREES,
        State.TOLD,
    }
