"""The whole system on this machine, running for as long as a block lasts. `up` and `demo` live in such a block."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifemask.cli.chosen import Environment, Parts
from lifemask.cli.embedded.process import announced as address_in
from lifemask.cli.house import APP, announced, make_keys, occupied
from lifemask.cli.plan import PORTS, plan, service_environment
from lifemask.cli.ports import choose_ports
from lifemask.cli.stops import Missing
from lifemask.cli.supervisor import Console, StartError, Supervisor, supervised

_PATIENCE = 60.0  # seconds; a first start makes a database, and others may use the machine


@dataclass(frozen=True, slots=True)
class Machine:
    """Where everything is. `app_key` is None when the apps are the environment's and no key was given with them."""

    url: str
    app: str | None
    app_key: str | None
    parts: Parts
    services: dict[str, str]
    kafka: str
    postgres: str
    objects: str
    topic_prefix: str
    sandbox: dict[str, str]
    accounts: dict[str, dict[str, str]]
    """How to reach the stand-ins of hub and provider; real ones are the environment's alone."""
    data: Path
    supervisor: Supervisor

    def for_clients(self) -> dict[str, Any]:
        """The content of up.json."""
        return {
            "url": self.url,
            "app": self.app,
            "app_key": self.app_key,
            "kafka": None if self.parts.kafka else self.kafka,
            "topic_prefix": self.topic_prefix,
            "sandbox": self.sandbox,
            "accounts": self.accounts,
            "objects": self.objects,
            "services": self.services,
            "pid": os.getpid(),
        }

    def for_people(self) -> dict[str, Any]:
        """The same with what may be elsewhere after the next start."""
        kept = {"postgres": self.postgres, "data": str(self.data)}
        return self.for_clients() | {"kafka": self.kafka} | kept


@asynccontextmanager
async def running(environment: Environment, data: Path, console: Console, *, port: int = 0) -> AsyncIterator[Machine]:
    """Starts everything, ready at the block's begin, stopped after its end. `port`: the API's, 0 for any free one.

    Raises Missing when it cannot start, and the supervisor's Interrupted after Ctrl-C.
    """
    with occupied(data) as home:
        named = environment.get("LIFEMASK_KEYS")
        key = make_keys(home, Path(named) if named else None)
        try:
            ports = choose_ports(PORTS, home, {"ingest": port})
        except OSError:
            raise Missing(f"Port {port} is in use by another program.", "Choose another with --port.") from None
        try:
            async with supervised(plan(environment, home, ports), console, _PATIENCE) as supervisor:
                machine = _describe(environment, home, ports, key, supervisor)
                with announced(home, machine.for_clients()):
                    yield machine
        except StartError as error:
            raise Missing(f"Lifemask did not start: {error}", f"The logs are in {home / 'logs'}.") from None


def without_password(dsn: str) -> str:
    """A database's address that may be shown."""
    scheme, mark, rest = dsn.partition("://")
    place, question, query = rest.partition("?")
    user, at, host = place.rpartition("@")
    shown = "&".join(each for each in query.split("&") if not each.startswith("password="))
    return f"{scheme}{mark}{user.partition(':')[0]}{at}{host}{question if shown else ''}{shown}"


def _describe(environment: Environment, data: Path, ports: dict[str, int], key: str, supervisor: Supervisor) -> Machine:
    parts = Parts.of(environment)
    told = service_environment(environment, data, ports)
    own_apps = not environment.get("LIFEMASK_APPS")
    return Machine(
        url=f"http://127.0.0.1:{ports['ingest']}",
        app=APP if own_apps else environment.get("LIFEMASK_APP"),
        app_key=key if own_apps else environment.get("LIFEMASK_APP_KEY"),
        parts=parts,
        services={
            name.replace("_", "-"): f"http://127.0.0.1:{ports[name]}"
            for name in ports
            if name not in {"replicate", "hub", "files", "smtp"}
        },
        kafka=environment.get("LIFEMASK_KAFKA") or address_in(data / "run" / "kafka.ready") or "",
        postgres=without_password(environment.get("LIFEMASK_POSTGRES", ""))
        or address_in(data / "run" / "postgres.ready")
        or "",
        objects=told["LIFEMASK_OBJECTS"],
        topic_prefix=told["LIFEMASK_TOPIC_PREFIX"],
        sandbox=_sandbox(parts, ports),
        accounts=_accounts(parts, told),
        data=data,
        supervisor=supervisor,
    )


def _accounts(parts: Parts, told: Mapping[str, str]) -> dict[str, dict[str, str]]:
    hub = {"url": "HF_ENDPOINT", "token": "HF_TOKEN", "name": "LIFEMASK_HF_NAMESPACE"}
    provider = {
        "url": "REPLICATE_BASE_URL",
        "token": "REPLICATE_API_TOKEN",
        "name": "LIFEMASK_REPLICATE_DESTINATION",
    }
    wanted = {"hub": hub if parts.hub else None, "replicate": provider if parts.provider else None}
    return {part: {name: told[each] for name, each in names.items()} for part, names in wanted.items() if names}


def _sandbox(parts: Parts, ports: dict[str, int]) -> dict[str, str]:
    if not parts.sandbox:
        return {}
    api = f"http://127.0.0.1:{ports['replicate']}"
    return {
        "replicate": api,
        "hub": f"http://127.0.0.1:{ports['hub']}",
        "smtp": f"smtp://127.0.0.1:{ports['smtp']}",
        "ledger": f"{api}/ledger",
        "mails": f"{api}/mails",
        "faults": f"{api}/faults",
    }
