"""The services as `lifemask doctor` sees them: each with the environment that it is started with, and its probes."""

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lifemask.bus.roles import SERVICES, schema_of
from lifemask.cli.plan import PORTS, as_role, at_the_store, plan
from lifemask.cli.ports import remembered
from lifemask.cli.stops import Missing, WrongUsage
from lifemask.cli.whereabouts import UP_FILE, read_up_file
from lifemask.runtime.checkup import Finding, Probe

if TYPE_CHECKING:
    from lifemask.doctor.needs import Needs
    from lifemask.runtime.settings import ServiceSettings

_GIVEN: Final = {"LIFEMASK_KAFKA": "kafka.ready", "LIFEMASK_POSTGRES": "postgres.ready"}
"""What embedded parts tell, and the file below DATA/run that they tell it in."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One service: its probes, and what is wrong with its settings before any of them can be made."""

    service: str
    probes: list[Probe]
    findings: list[Finding]


def named(services: list[str]) -> list[str]:
    """The services that were asked for; all when none was. Raises WrongUsage."""
    wanted = [name.replace("_", "-") for name in services] or list(SERVICES)
    if unknown := [name for name in wanted if name not in SERVICES]:
        raise WrongUsage(f"There is no service {unknown[0]!r}.", f"Name some of: {', '.join(SERVICES)}.")
    return wanted


def patient(service: str, environment: Mapping[str, str]) -> Patient:
    """The service with the settings of `environment`."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from lifemask.runtime.main import complaints

    needs: Needs[ServiceSettings] = importlib.import_module(f"lifemask.{schema_of(service)}.needs").NEEDS
    with _told(environment):
        try:
            settings = needs.settings()
        except (ValidationError, SettingsError) as problem:
            fix = "Correct it: the service does not start like that."
            wrong = [Finding("settings", "settings", each, fix) for each in complaints(needs.settings, problem)]
            return Patient(service, [], wrong)
    return Patient(service, needs.probes(settings, _account(environment)), [Finding("settings", "settings")])


def environments(services: list[str], data: Path, environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What each service is told: by the `lifemask up` of `data` while it runs, else by this environment.

    Raises Missing when neither says where PostgreSQL is.
    """
    home = data.resolve()
    if read_up_file(home / UP_FILE):
        return {service: _of_up(service, home, environment) for service in services}
    if not any(name.startswith("LIFEMASK_POSTGRES") for name in environment):
        raise Missing(
            "I know of no installation to look at.",
            "Name the directory of a running `lifemask up` by --data, or set what the services are started with "
            "(LIFEMASK_POSTGRES, LIFEMASK_KAFKA, LIFEMASK_OBJECTS, …).",
        )
    return {service: _of_environment(schema_of(service), environment) for service in services}


def _of_up(service: str, home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    given = {name: environment.get(name) or _read(home / "run" / file) for name, file in _GIVEN.items()}
    ports = dict.fromkeys(PORTS, 0) | remembered(home)
    child = next(child for child in plan(environment, home, ports) if child.name == service)
    return {**environment, **child.env(given)}


def _of_environment(package: str, environment: Mapping[str, str]) -> dict[str, str]:
    told = dict(environment)
    if own := environment.get(f"LIFEMASK_POSTGRES_{package.upper()}"):
        told["LIFEMASK_POSTGRES"] = own
    elif common := environment.get("LIFEMASK_POSTGRES"):
        told["LIFEMASK_POSTGRES"] = as_role(common, package)
    return told | at_the_store(package, environment)


def _account(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """A service's own account at the store; None when it takes whatever the environment has for all."""
    found = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not all(found) or environment.get("AWS_SESSION_TOKEN"):
        return None
    return found[0] or "", found[1] or ""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def _told(environment: Mapping[str, str]) -> Iterator[None]:
    """Settings are read from the process's environment: for a moment it is the service's."""
    own = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(own)
