"""The whole system on one machine as a list of processes. Pure: it reads nothing and starts nothing."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from lifemask.bus.roles import SCHEMAS
from lifemask.cli.chosen import Environment, Parts
from lifemask.cli.parts import SANDBOX_GROUP, SERVICE_GROUP, embedded_broker, embedded_postgres, http_ready, service
from lifemask.cli.stops import Missing
from lifemask.cli.store_accounts import PREFIX as SECRET
from lifemask.cli.store_accounts import Account
from lifemask.cli.supervisor import Child
from lifemask.contracts import Topic
from lifemask.contracts.topics import PROBES

SERVICES: Final = SCHEMAS
AUDITOR: Final = "auditor"
SANDBOX_PORTS: Final = ("replicate", "hub", "files", "smtp")
PORTS: Final = (*SERVICES, *SANDBOX_PORTS)
"""Names of the TCP ports that a plan needs."""

_SANDBOX_CALLERS: Final = frozenset({"ingest", "trainer", "publisher", "notifier"})
_DAILY: Final = "24"
"""Hours between two sweeps."""
_PARTITIONS: Final = 4
"""Of each topic on the embedded broker: a few, so that several are used; each may hold 5 MB."""
_REPLICATE_TOKEN: Final = "r8_sandbox_lifemask"  # noqa: S105  opens nothing but the sandbox
_HUB_TOKEN: Final = "hf_sandbox_lifemask"  # noqa: S105  likewise
_ACCOUNT: Final = "lifemask"

_EMBEDDED_KAFKA: Final = {
    # Measured: a restart costs 1 s instead of 9. A real Kafka refuses so short a session. This broker answers a fetch
    # at the end of its wait: 500 ms make a hop of 440; 20 ms have an idle system take 41 % of a core, 50 ms 20 %.
    "LIFEMASK_KAFKA_SESSION_TIMEOUT_MS": "2000",
    "LIFEMASK_KAFKA_HEARTBEAT_MS": "400",
    "LIFEMASK_KAFKA_FETCH_WAIT_MS": "50",
    # The broker forgets everything at its end and is filled again from the outboxes; the inboxes know what was read.
    "LIFEMASK_OUTBOX_RETENTION_DAYS": "0",
    "LIFEMASK_INBOX_RETENTION_DAYS": "0",
}


def plan(environment: Environment, data: Path, ports: Mapping[str, int]) -> tuple[Child, ...]:
    """The children for what `environment` names and does not name; `ports` holds one for each of PORTS.

    Raises Missing when the environment names a part only by half.
    """
    parts = Parts.of(environment)
    common = service_environment(environment, data, ports)
    migrated = ("migrate", *(("kafka",) if parts.kafka else ()))
    children = [_migrate(environment, parts, common)]
    if parts.postgres:
        children.append(embedded_postgres(data / "postgres", data / "run"))
    if parts.kafka:
        prefix = environment.get("LIFEMASK_TOPIC_PREFIX", "")
        topics = {topic.named(prefix): _PARTITIONS for topic in Topic} | {prefix + PROBES: 1}
        children.append(embedded_broker(topics, data / "run"))
    if parts.sandbox:
        children.append(_sandbox(environment, data, ports))
    for package in SERVICES:
        after = (*migrated, "sandbox") if parts.sandbox and package in _SANDBOX_CALLERS else migrated
        children.append(_service(package, environment, common, ports, after))
    if hours_between_audits(environment):
        children.append(_auditor(environment, common, tuple(map(_name, SERVICES))))
    return tuple(children)


def hours_between_audits(environment: Environment) -> float:
    """How often everything is swept for what no chain explains; 0 for never. Raises Missing for what is no number."""
    text = environment.get("LIFEMASK_AUDIT_EVERY") or _DAILY
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < float("inf"):
        raise Missing("LIFEMASK_AUDIT_EVERY is no number of hours.", "Set it to hours, or to 0 for no sweeps.")
    return hours


def service_environment(environment: Environment, data: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """What all services are told beside Kafka and PostgreSQL. Embedded parts are named; so nothing else can win."""
    parts = Parts.of(environment)
    settings = {
        "LIFEMASK_HOST": "127.0.0.1",
        "LIFEMASK_OBJECTS": environment.get("LIFEMASK_OBJECTS") or (data / "objects").resolve().as_uri(),
        "LIFEMASK_KEYS": environment.get("LIFEMASK_KEYS") or str((data / "keys").resolve()),
        "LIFEMASK_KEYRING_ROOT": environment.get("LIFEMASK_KEYRING_ROOT", ""),
        "LIFEMASK_APPS": environment.get("LIFEMASK_APPS") or str((data / "apps.json").resolve()),
        "LIFEMASK_PUBLIC_URL": environment.get("LIFEMASK_PUBLIC_URL") or f"http://127.0.0.1:{ports['ingest']}",
        "LIFEMASK_TOPIC_PREFIX": environment.get("LIFEMASK_TOPIC_PREFIX", ""),
    }
    if parts.kafka:
        settings |= _EMBEDDED_KAFKA
    if parts.provider:
        settings |= {
            "REPLICATE_API_TOKEN": _REPLICATE_TOKEN,
            "REPLICATE_BASE_URL": f"http://127.0.0.1:{ports['replicate']}",
            "LIFEMASK_REPLICATE_DESTINATION": _destination(environment),
        }
    if parts.hub:
        settings |= {
            "HF_TOKEN": _HUB_TOKEN,
            "HF_ENDPOINT": f"http://127.0.0.1:{ports['hub']}",
            "LIFEMASK_HF_NAMESPACE": _ACCOUNT,
        }
    if parts.mail:
        settings |= {
            "LIFEMASK_SMTP": f"smtp://127.0.0.1:{ports['smtp']}",
            "LIFEMASK_MAIL_FROM": environment.get("LIFEMASK_MAIL_FROM") or "lifemask@example.com",
        }
    return settings


def as_role(dsn: str, package: str) -> str:
    """The same database as the service's own role."""
    url = urlsplit(dsn)
    user, at, host = url.netloc.rpartition("@")
    password = user.partition(":")[2] if at else ""
    return urlunsplit(url._replace(netloc=f"lifemask_{package}{f':{password}' if password else ''}@{host}"))


def _service(
    package: str, environment: Environment, common: Mapping[str, str], ports: Mapping[str, int], after: tuple[str, ...]
) -> Child:
    own = environment.get(f"LIFEMASK_POSTGRES_{package.upper()}")

    def env(given: Environment) -> dict[str, str]:
        dsn = given.get("LIFEMASK_POSTGRES") or environment["LIFEMASK_POSTGRES"]
        mine = {"LIFEMASK_POSTGRES": own or as_role(dsn, package), "LIFEMASK_PORT": str(ports[package])}
        return {**given, **common, **mine, **at_the_store(package, environment)}

    return service(package, ports[package], env=env, after=after)


def _name(package: str) -> str:
    return package.replace("_", "-")


def _auditor(environment: Environment, common: Mapping[str, str], after: tuple[str, ...]) -> Child:
    """Sweeps regularly, as the operator: with the DSN that `migrate` has. Last, so that it delays nobody's start."""

    def env(given: Environment) -> dict[str, str]:
        dsn = given.get("LIFEMASK_POSTGRES") or environment["LIFEMASK_POSTGRES"]
        return {**given, **common, "LIFEMASK_POSTGRES": dsn, **at_the_store(AUDITOR, environment)}

    hours = f"{hours_between_audits(environment):g}"
    return Child(
        name=AUDITOR,
        argv=(sys.executable, "-m", "lifemask.cli.main", "audit", "--all", "--every", hours, "--json"),
        env=env,
        after=after,
        stop_grace=1.0,
        group=SERVICE_GROUP,
    )


def at_the_store(package: str, environment: Environment) -> dict[str, str]:
    """The service's own account at the store, where the environment names its secret key."""
    account = Account(package.replace("_", "-"), environment.get(f"{SECRET}{package.upper()}", ""))
    return account.environment() if account.secret else {}


def _migrate(environment: Environment, parts: Parts, common: Mapping[str, str]) -> Child:
    topics = ("--no-topics",) if parts.kafka else ()  # the embedded broker makes its own

    def env(given: Environment) -> dict[str, str]:
        return {
            **common,
            **{name: environment[name] for name in ("LIFEMASK_POSTGRES",) if name in environment},
            **given,
        }

    return Child(
        name="migrate",
        argv=(sys.executable, "-m", "lifemask.cli.main", "migrate", *topics),
        env=env,
        after=("postgres",) if parts.postgres else (),
        once=True,
        restart=False,
        group=SERVICE_GROUP,
    )


def _sandbox(environment: Environment, data: Path, ports: Mapping[str, int]) -> Child:
    settings = {
        "LIFEMASK_SANDBOX_DATA": str(data / "sandbox"),
        "LIFEMASK_SANDBOX_PORT": str(ports["replicate"]),
        "LIFEMASK_SANDBOX_HUB_PORT": str(ports["hub"]),
        "LIFEMASK_SANDBOX_FILES_PORT": str(ports["files"]),
        "LIFEMASK_SANDBOX_SMTP_PORT": str(ports["smtp"]),
        "LIFEMASK_SANDBOX_REPLICATE_TOKEN": _REPLICATE_TOKEN,
        "LIFEMASK_SANDBOX_HUB_TOKEN": _HUB_TOKEN,
        "LIFEMASK_SANDBOX_HUB_USER": _ACCOUNT,
        "LIFEMASK_SANDBOX_DESTINATION": _destination(environment),
        # It refuses to run where a real token is, and another part may well be real.
        "REPLICATE_API_TOKEN": "",
        "HF_TOKEN": "",
    }
    return Child(
        name="sandbox",
        argv=(sys.executable, "-m", "lifemask.sandbox", "--data", str(data / "sandbox")),
        env=lambda given: {**given, **settings},
        ready=http_ready(ports["replicate"], "/healthz"),
        group=SANDBOX_GROUP,
    )


def _destination(environment: Environment) -> str:
    return environment.get("LIFEMASK_REPLICATE_DESTINATION") or f"{_ACCOUNT}/models"
