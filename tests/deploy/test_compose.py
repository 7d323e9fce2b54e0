"""docker-compose.yml against the design and against the code it starts."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.compose import ROOT, compose, dotenv, environment_of
from tools.settings_page import SETTINGS

from lifemask.bus.passwords import variable_of
from lifemask.bus.roles import SERVICES, role_of
from lifemask.cli.installation import Account, Installation
from lifemask.cli.store_accounts import HOLDERS, POLICIES, accounts_in, bucket_policy, secret_variable
from lifemask.runtime.settings import ServiceSettings
from lifemask.sandbox.settings import SandboxSettings, refuse_real_tokens

OWN_IMAGE = {*SERVICES, "auditor", "sandbox", "prepare", "migrate", "cli"}
ONCE = {"prepare", "migrate", "cli"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def names_of(settings: type[ServiceSettings] | type[SandboxSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    aliases = {str(field.validation_alias) for field in settings.model_fields.values() if field.validation_alias}
    return aliases | {f"{prefix}{name}".upper() for name in settings.model_fields}


def test_every_part_of_the_design_is_there(services: dict[str, Any]) -> None:
    assert set(services) == OWN_IMAGE | {"kafka", "postgres", "s3", "collector", "jaeger"}
    assert {name for name, each in services.items() if each.get("profiles")} == {"cli", "collector", "jaeger"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_its_own_module(services: dict[str, Any], name: str) -> None:
    [module] = services[name]["command"]
    assert module == f"lifemask.{name.replace('-', '_')}"
    assert importlib.util.find_spec(f"{module}.__main__")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_told_nothing_that_it_does_not_read(name: str) -> None:
    told = {each for each in environment_of(name) if each.startswith(("LIFEMASK_", "REPLICATE_", "HF_"))}
    assert told <= names_of(SETTINGS[name])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_with_what_it_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in environment_of(name).items():
        monkeypatch.setenv(variable, value)
    settings = SETTINGS[name]()
    assert settings.brokers == ["kafka:9092"]
    assert settings.objects == "s3://lifemask"


def test_the_sandbox_starts_with_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment_of("sandbox")
    refuse_real_tokens(told)
    assert set(told) <= names_of(SandboxSettings)
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    settings = SandboxSettings()
    assert settings.destination == environment_of("trainer")["LIFEMASK_REPLICATE_DESTINATION"]
    assert settings.hub_user == environment_of("publisher")["LIFEMASK_HF_NAMESPACE"]
    assert environment_of("ingest")["REPLICATE_BASE_URL"] == f"http://sandbox:{settings.port}"
    assert environment_of("publisher")["HF_ENDPOINT"] == f"http://sandbox:{settings.hub_port}"
    assert environment_of("notifier")["LIFEMASK_SMTP"] == f"smtp://sandbox:{settings.smtp_port}"


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("password", ["", "given-by-env"])
def test_each_service_logs_in_as_its_own_role_with_the_password_that_migrate_gives_it(name: str, password: str) -> None:
    given = {variable_of(name): password}
    told = environment_of(name, **given)
    assert told["LIFEMASK_POSTGRES"] == f"postgresql://{role_of(name)}@postgres:5432/lifemask"
    assert told["PGPASSWORD"] == environment_of("migrate", **given)[variable_of(name)]
    assert password in {told["PGPASSWORD"], ""}


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("secret", ["", "given-by-env"])
def test_each_service_has_its_own_account_at_the_store_with_the_secret_that_prepare_gives_it(
    name: str, secret: str
) -> None:
    given = {secret_variable(name): secret}
    told, prepared = environment_of(name, **given), environment_of("prepare", **given)
    (account,) = (each for each in accounts_in(prepared) if each.service == name)
    assert {name: told[name] for name in account.environment()} == account.environment()
    assert secret in {account.secret, ""}
    assert prepared["AWS_ACCESS_KEY_ID"] not in {each.name for each in accounts_in(prepared)}


def test_prepare_reads_the_policies_of_this_repository(services: dict[str, Any]) -> None:
    place = environment_of("prepare")[POLICIES]
    assert f"./deploy/s3:{place}:ro" in services["prepare"]["volumes"]
    bucket_policy("lifemask", ROOT / "deploy" / "s3", accounts_in(environment_of("prepare")))


def test_the_auditor_reads_everything_and_has_no_key(services: dict[str, Any]) -> None:
    told = environment_of("auditor", LIFEMASK_AUDIT_EVERY="6")
    assert services["auditor"]["command"] == ["lifemask.cli.main", "audit", "--all", "--every", "24", "--json"]
    assert "6" in compose(LIFEMASK_AUDIT_EVERY="6")["services"]["auditor"]["command"]
    assert services["auditor"]["volumes"] == ["keys-auditor:/var/lib/lifemask/keys:ro"]
    found = Installation.find(Path("nowhere"), told)
    assert found.database() == environment_of("migrate")["LIFEMASK_POSTGRES"]
    assert (found.store(), str(found.key_folder())) == ("s3://lifemask", "/var/lib/lifemask/keys")
    assert found.hub == Account("http://sandbox:8082", "hf_sandbox_lifemask", "lifemask")
    assert found.provider == Account("http://sandbox:8081", "r8_sandbox_lifemask", "lifemask/models")
    policy = json.loads((ROOT / "deploy" / "s3" / "auditor.json").read_text())
    assert {action for each in policy["Statement"] for action in each["Action"]} == {"s3:ListBucket", "s3:GetObject"}


def test_no_two_accounts_share_a_secret() -> None:
    secrets = [environment_of(name)["AWS_SECRET_ACCESS_KEY"] for name in (*HOLDERS, "prepare")]
    assert len(set(secrets)) == len(secrets)


def test_no_two_roles_share_a_password() -> None:
    passwords = [environment_of(name)["PGPASSWORD"] for name in (*SERVICES, "migrate")]
    assert len(set(passwords)) == len(passwords)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_after_everything_it_lives_on(services: dict[str, Any], name: str) -> None:
    after = {each: rule["condition"] for each, rule in services[name]["depends_on"].items()}
    assert after["migrate"] == after["prepare"] == "service_completed_successfully"
    assert {each for each, rule in after.items() if rule == "service_healthy"} >= {"kafka", "postgres", "s3"}
    assert ("sandbox" in after) == ("sandbox" in str(environment_of(name)))


def test_what_is_waited_for_has_a_health_check(services: dict[str, Any]) -> None:
    for each in services.values():
        for name, rule in each.get("depends_on", {}).items():
            own = services[name].get("healthcheck", {})
            if rule["condition"] == "service_healthy":
                assert own.get("test")
            if rule["condition"] == "service_completed_successfully":
                assert services[name]["restart"] == "no"
    # The image's own check: /readyz on LIFEMASK_PORT.
    assert not any("healthcheck" in services[name] for name in SERVICES)


@pytest.mark.parametrize("name", sorted(OWN_IMAGE))
def test_our_containers_can_change_nothing(services: dict[str, Any], name: str) -> None:
    own = services[name]
    assert own["read_only"] is True
    assert own["cap_drop"] == ["ALL"]
    assert own["security_opt"] == ["no-new-privileges:true"]
    assert own["tmpfs"] == ["/tmp:size=64m,mode=1777"]
    assert own["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert "user" not in own  # the image's


def test_only_the_api_and_the_store_are_published_and_only_on_this_machine(services: dict[str, Any]) -> None:
    published = {name: each["ports"] for name, each in services.items() if each.get("ports")}
    assert published == {
        "ingest": ["127.0.0.1:8080:8080"],
        "s3": ["127.0.0.1:7070:7070"],
        "jaeger": ["127.0.0.1:16686:16686"],
    }
    assert compose(LIFEMASK_PORT="9000")["services"]["ingest"]["ports"] == ["127.0.0.1:9000:9000"]
    assert environment_of("ingest", LIFEMASK_PORT="9000")["LIFEMASK_PORT"] == "9000"


def test_only_those_that_call_out_can_reach_the_outside(services: dict[str, Any]) -> None:
    assert compose()["networks"]["inside"] == {"internal": True}
    outside = {name for name, each in services.items() if "outside" in each["networks"]}
    assert outside == {"ingest", "trainer", "publisher", "notifier", "auditor", "jaeger", "s3"}


def test_the_public_address_leads_to_ingest_inside_as_well(services: dict[str, Any]) -> None:
    assert services["ingest"]["networks"]["inside"]["aliases"] == ["lifemask.localhost"]
    assert environment_of("trainer", LIFEMASK_PORT="9000")["LIFEMASK_PUBLIC_URL"] == "http://lifemask.localhost:9000"


def test_targets_are_signed_for_a_name_that_leads_to_the_store_from_both_sides(services: dict[str, Any]) -> None:
    assert services["s3"]["networks"]["inside"]["aliases"] == ["s3.localhost"]
    assert environment_of("ingest")["AWS_ENDPOINT_URL_S3"] == "http://s3.localhost:7070"


def test_secrets_are_mounted_where_they_are_read_and_nowhere_else(services: dict[str, Any]) -> None:
    mounts = {name: set(services[name].get("volumes", [])) for name in SERVICES}
    apps = {name: {"apps:/var/lib/lifemask/apps:ro"} for name in ("ingest", "notifier")}
    own = {name: {f"keys-{name}:/var/lib/lifemask/keys:ro"} for name in SERVICES}
    assert mounts == {name: own[name] | apps.get(name, set()) for name in SERVICES}
    every = {f"keys-{name}:/var/lib/lifemask/each/{name}" for name in SERVICES}
    assert every < set(services["prepare"]["volumes"])
    holders = {name for name, each in services.items() if {"root", "keys"} & _sources(each)}
    assert holders == {"prepare"}


def _sources(service: dict[str, Any]) -> set[str]:
    return {volume.partition(":")[0] for volume in service.get("volumes", [])}


def test_the_example_names_every_variable_and_changes_nothing() -> None:
    text = (ROOT / ".env.example").read_text()
    assert compose(**dotenv(text)) == compose()
    used = (ROOT / "docker-compose.yml").read_text()
    assert [name for name in dotenv(text) if f"${{{name}" not in used] == []


def test_a_token_in_env_leads_to_the_real_service() -> None:
    text = (ROOT / ".env.example").read_text()
    real = dotenv(text, REPLICATE_API_TOKEN="r8_x", HF_TOKEN="hf_x")
    assert environment_of("trainer", **real)["REPLICATE_BASE_URL"] == "https://api.replicate.com"
    assert environment_of("publisher", **real)["HF_ENDPOINT"] == "https://huggingface.co"
    assert "r8_x" not in str(compose(**real)["services"]["sandbox"])
