"""One run of `lifemask doctor` names everything that is wrong, and nothing else; it is over in 5 seconds."""

import asyncio
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from tests.doctor.house import House
from tests.real.system import plain_environment

from lifemask.bus.roles import SERVICES
from lifemask.cli.embedded.broker import MockBroker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

ALL: Final = set(SERVICES)
EXPECTED: Final[dict[str, tuple[set[str], str]]] = {
    "a migration was not run": ({"ingest"}, "the schema ingest is not of this version"),
    "a right is missing": ({"image-validator"}, "denied: update on image_validator.inbox"),
    "rows are not protected": ({"trainer"}, r"row-level security of trainer\.\w+ is switched off"),
    "a service has the operator's role": ({"publisher"}, "role postgres passes by row-level security"),
    "a topic is missing": ({"ingest", "notifier"}, "the topic lifemask.notifications does not exist"),
    "a key is missing": ({"packager"}, "the key of packager cannot be read: FileNotFoundError"),
    "the store is no directory": (ALL, "making fails in the objects directory: EEXIST"),
    "the destination is not there": ({"trainer"}, "the destination lifemask/elsewhere does not exist"),
    "the trainer's version is not there": ({"trainer"}, "ostris/flux-dev-lora-trainer has no version b{64}"),
    "the hub's namespace is another's": ({"publisher"}, "the token belongs to lifemask, who is not in acme"),
    "the mail server is away": ({"notifier"}, r"the mail server at 127\.0\.0\.1:9 does not greet us"),
    "nobody answers at our address": ({"ingest"}, r"nobody answers at LIFEMASK_PUBLIC_URL, http://127\.0\.0\.1:9:"),
    "no app may call": ({"ingest"}, "the file of LIFEMASK_APPS cannot be read"),
}
"""What is wrong: who finds it, in which words."""

HERE: Final = ("a topic is missing", "nobody answers at our address")
"""What is so in every test: the broker has one topic less, and ingest does not run."""


def unexplained(problems: list[dict[str, Any]], *causes: str) -> list[dict[str, Any]]:
    return [problem for problem in problems if not any(is_of(problem, *EXPECTED[cause]) for cause in causes)]


def is_of(problem: Mapping[str, Any], services: set[str], words: str) -> bool:
    return problem["service"] in services and re.search(words, problem["problem"]) is not None


async def test_what_works_is_not_complained_of(house: House, broker: MockBroker) -> None:
    visit = await house.doctor(house.told | {"LIFEMASK_KAFKA": broker.bootstrap})
    assert unexplained(visit.problems, *HERE) == []
    assert visit.code == 1
    assert not [path for path in (house.folder / "objects").rglob("*") if path.is_file()]


async def test_twelve_misconfigurations_are_named_in_one_run(house: House, broker: MockBroker) -> None:
    protected = await house.database.value(
        """select 'trainer.' || c.relname from pg_policy p join pg_class c on c.oid = p.polrelid
           where c.relnamespace = 'trainer'::regnamespace limit 1"""
    )
    await house.database.run(
        f"""delete from ingest.migration where version_num like 'bus%';
            revoke update on image_validator.inbox from lifemask_image_validator;
            alter table {protected} no force row level security"""
    )
    (house.keys / "packager.pem").unlink()
    (house.folder / "file").write_text("no directory")
    visit = await house.doctor(
        house.told
        | {
            "LIFEMASK_KAFKA": broker.bootstrap,
            "LIFEMASK_POSTGRES_PUBLISHER": house.database.admin,
            "LIFEMASK_OBJECTS": (house.folder / "file").as_uri(),
            "LIFEMASK_REPLICATE_DESTINATION": "lifemask/elsewhere",
            "LIFEMASK_REPLICATE_TRAINER_VERSION": "b" * 64,
            "LIFEMASK_HF_NAMESPACE": "acme",
            "LIFEMASK_SMTP": "smtp://127.0.0.1:9",
            "LIFEMASK_APPS": str(house.folder / "none.json"),
        }
    )
    for cause, (services, words) in EXPECTED.items():
        found = {problem["service"] for problem in visit.problems if re.search(words, problem["problem"])}
        assert found == services, (cause, visit.problems)
    assert unexplained(visit.problems, *EXPECTED) == []
    assert all(problem["fix"] for problem in visit.problems)
    assert (visit.code, visit.was_quick) == (1, True), visit.seconds


async def test_what_nobody_answers_is_named_within_the_same_time(house: House) -> None:
    gone = "127.0.0.1:9"
    visit = await house.doctor(
        house.told
        | {
            "LIFEMASK_KAFKA": gone,
            "LIFEMASK_POSTGRES": f"postgresql://postgres@{gone}/none",
            "REPLICATE_BASE_URL": f"http://{gone}",
            "HF_ENDPOINT": f"http://{gone}",
        },
        patience=3.5,
    )
    parts = {(problem["service"], problem["part"]) for problem in visit.problems}
    assert parts == {
        *((service, part) for service in ALL for part in ("kafka", "postgres")),
        ("ingest", "provider"),
        ("trainer", "provider"),
        ("publisher", "hub"),
        ("ingest", "address"),
    }
    assert visit.was_quick, visit.seconds


async def test_wrong_tokens_are_named(house: House, broker: MockBroker) -> None:
    wrong = {"LIFEMASK_KAFKA": broker.bootstrap, "REPLICATE_API_TOKEN": "r8_wrong", "HF_TOKEN": "hf_wrong"}
    visit = await house.doctor(house.told | wrong)
    found = {(problem["service"], problem["problem"]) for problem in unexplained(visit.problems, *HERE)}
    assert found == {
        ("ingest", "the provider refuses the token (401)"),
        ("trainer", "the provider refuses the token (401)"),
        ("publisher", "the hub refuses the token (401)"),
    }
    assert "wrong" not in str([problem["problem"] for problem in visit.problems])


async def test_a_setting_that_cannot_be_is_named(house: House, broker: MockBroker) -> None:
    visit = await house.doctor(house.told | {"LIFEMASK_KAFKA": broker.bootstrap, "LIFEMASK_LANES": "0"})
    assert {problem["service"] for problem in visit.problems if "LIFEMASK_LANES" in problem["problem"]} == ALL


@pytest.mark.parametrize(("arguments", "code"), [(("baker",), 2), ((), 3)])
async def test_an_unknown_service_or_installation_is_refused(
    arguments: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lifemask.cli.main", "doctor", *arguments, "--data", str(tmp_path / "none")),
        stdout=asyncio.subprocess.PIPE,
        env=plain_environment(),
    )
    await process.communicate()
    assert process.returncode == code
