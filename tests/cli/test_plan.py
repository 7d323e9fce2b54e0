"""What is started for which environment, as tables."""

from pathlib import Path

import pytest

from lifemask.cli.chosen import Parts, isolated, left_out
from lifemask.cli.plan import PORTS, SERVICES, as_role, plan, service_environment
from lifemask.cli.stops import Missing
from lifemask.cli.supervisor import Child

DATA = Path("/data")
NUMBERS = {name: 5000 + number for number, name in enumerate(PORTS)}
NAMES = {package.replace("_", "-") for package in SERVICES}
REAL_PROVIDER = {
    "REPLICATE_API_TOKEN": "r8_real",
    "LIFEMASK_REPLICATE_DESTINATION": "me/models",
    "LIFEMASK_PUBLIC_URL": "https://lifemask.example.com",
}
REAL_HUB = {"HF_TOKEN": "hf_real", "LIFEMASK_HF_NAMESPACE": "me"}
REAL_MAIL = {"LIFEMASK_SMTP": "smtp://mail.example.com:25", "LIFEMASK_MAIL_FROM": "us@example.com"}


@pytest.mark.parametrize(
    ("environment", "embedded"),
    [
        ({}, {"postgres", "kafka", "sandbox"}),
        ({"LIFEMASK_KAFKA": "k:9092"}, {"postgres", "sandbox"}),
        ({"LIFEMASK_POSTGRES": "postgresql://a@h/d"}, {"kafka", "sandbox"}),
        ({"LIFEMASK_OBJECTS": "s3://bucket"}, {"postgres", "kafka", "sandbox"}),
        (REAL_PROVIDER, {"postgres", "kafka", "sandbox"}),
        (REAL_PROVIDER | REAL_HUB, {"postgres", "kafka", "sandbox"}),
        (REAL_PROVIDER | REAL_HUB | REAL_MAIL, {"postgres", "kafka"}),
        ({"LIFEMASK_KAFKA": "k:9092", "LIFEMASK_POSTGRES": "postgresql://a@h/d"}, {"sandbox"}),
    ],
)
def test_each_part_that_is_not_named_is_embedded(environment: dict[str, str], embedded: set[str]) -> None:
    children = _by_name(environment)
    assert set(children) == NAMES | {"migrate", "auditor"} | embedded
    for name in NAMES:
        assert "migrate" in children[name].after
        assert ("kafka" in children[name].after) == ("kafka" in embedded)


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"HF_TOKEN": "hf_real"}, "LIFEMASK_HF_NAMESPACE"),
        ({"REPLICATE_API_TOKEN": "r8_real"}, "LIFEMASK_REPLICATE_DESTINATION"),
        ({**REAL_PROVIDER, "LIFEMASK_PUBLIC_URL": ""}, "LIFEMASK_PUBLIC_URL"),
        ({"LIFEMASK_SMTP": "smtp://h:25"}, "LIFEMASK_MAIL_FROM"),
    ],
)
def test_a_part_named_by_half_is_refused(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(Missing) as caught:
        plan(environment, DATA, NUMBERS)
    assert missing in caught.value.next_step


def test_services_get_their_own_role_and_port() -> None:
    children = _by_name({})
    given = {"LIFEMASK_POSTGRES": "postgresql://postgres@/postgres?host=/run/pg", "LIFEMASK_KAFKA": "h:1"}
    for package in SERVICES:
        env = children[package.replace("_", "-")].env(given)
        assert env["LIFEMASK_POSTGRES"] == f"postgresql://lifemask_{package}@/postgres?host=/run/pg"
        assert env["LIFEMASK_PORT"] == str(NUMBERS[package])
        assert env["LIFEMASK_KAFKA"] == "h:1"
        assert env["LIFEMASK_PUBLIC_URL"] == f"http://127.0.0.1:{NUMBERS['ingest']}"
    assert children["migrate"].env(given)["LIFEMASK_POSTGRES"] == given["LIFEMASK_POSTGRES"]
    assert "--no-topics" in children["migrate"].argv


def test_a_named_database_is_used_as_the_services_roles() -> None:
    named = {
        "LIFEMASK_POSTGRES": "postgresql://admin:pw@db:5432/lifemask",
        "LIFEMASK_POSTGRES_TRAINER": "postgresql://t",
    }
    children = _by_name(named)
    assert children["packager"].env({})["LIFEMASK_POSTGRES"] == "postgresql://lifemask_packager:pw@db:5432/lifemask"
    assert children["trainer"].env({})["LIFEMASK_POSTGRES"] == "postgresql://t"
    assert children["migrate"].env({})["LIFEMASK_POSTGRES"] == named["LIFEMASK_POSTGRES"]
    assert children["migrate"].after == ()


def test_short_kafka_sessions_are_for_the_embedded_broker_alone() -> None:
    assert service_environment({}, DATA, NUMBERS)["LIFEMASK_KAFKA_SESSION_TIMEOUT_MS"] == "2000"
    assert "LIFEMASK_KAFKA_SESSION_TIMEOUT_MS" not in service_environment({"LIFEMASK_KAFKA": "k:1"}, DATA, NUMBERS)


def test_real_tokens_never_reach_the_sandbox() -> None:
    env = _by_name(REAL_PROVIDER)["sandbox"].env({})
    assert env["REPLICATE_API_TOKEN"] == ""
    assert env["HF_TOKEN"] == ""
    told = service_environment(REAL_PROVIDER, DATA, NUMBERS)
    assert "REPLICATE_API_TOKEN" not in told  # the real one is inherited
    assert told["HF_TOKEN"].startswith("hf_sandbox")


def test_a_demonstration_uses_nothing_real() -> None:
    environment = {
        **REAL_PROVIDER,
        **REAL_HUB,
        "LIFEMASK_KAFKA": "k:1",
        "LIFEMASK_POSTGRES_TRAINER": "x",
        "PATH": "/bin",
    }
    assert isolated(environment) == {"PATH": "/bin"}
    assert Parts.of(isolated(environment)) == Parts()
    assert "REPLICATE_API_TOKEN" in left_out(environment)


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://postgres@/postgres?host=/a%20b", "postgresql://lifemask_ingest@/postgres?host=/a%20b"),
        ("postgresql://h:5432/d", "postgresql://lifemask_ingest@h:5432/d"),
        ("postgresql://a:b@h/d?sslmode=require", "postgresql://lifemask_ingest:b@h/d?sslmode=require"),
    ],
)
def test_a_dsn_as_another_role(dsn: str, expected: str) -> None:
    assert as_role(dsn, "ingest") == expected


def _by_name(environment: dict[str, str]) -> dict[str, Child]:
    return {child.name: child for child in plan(environment, DATA, NUMBERS)}
