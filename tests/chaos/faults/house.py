"""A whole system with a proxy before everything that its services call.

PostgreSQL and the sandbox run beside it, as servers of others would; `lifemask up` knows their proxies' addresses only.
Kafka and the store are embedded unless their variables are given.
"""

import base64
import hashlib
import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tests.one_machine.waiting import Part
from tests.system.listener import Listener, listening
from tests.system.reading import Reading
from tests.system.stack import Stack
from tools.proxy import Proxy, proxies

from lifemask.cli.ports import choose_ports

APP: Final = "acme"
BESIDE: Final = ("postgres", "provider", "hub", "smtp")
"""What every house has behind proxies."""

IMPATIENT: Final = {
    "LIFEMASK_WATCHDOG": "5",
    "LIFEMASK_PROVIDER_TIMEOUT": "3",
    "LIFEMASK_CREATE_TIMEOUT": "3",
    "LIFEMASK_HUB_TIMEOUT": "3",
    "LIFEMASK_MAIL_TIMEOUT": "3",
    "LIFEMASK_WEBHOOK_TIMEOUT": "3",
    "LIFEMASK_REPOST_AFTER": "2",
    "LIFEMASK_BACKOFF_MAX": "2",
    "LIFEMASK_PAUSE": "0.5",
    "LIFEMASK_PAUSE_MAX": "1",
    "LIFEMASK_NOTIFY_LONGEST_DELAY": "2",
    "LIFEMASK_AUDIT_EVERY": "0",
    "LIFEMASK_CHECKUP_AFTER": "600",
}
"""What is waited for minutes elsewhere is waited for seconds here. Probes stay away: they would take the faults."""

_SANDBOX: Final = {"queue-seconds": "0.05", "training-seconds": "0.5", "weight-bytes": "200000"}
_HUB_TOKEN: Final = "hf_sandbox_lifemask"
_PROVIDER_TOKEN: Final = "r8_sandbox_lifemask"


Ways = tuple[str, Callable[[Proxy], dict[str, str]]]
"""What is behind a proxy, and the variables that lead services through it."""


class Postgres:
    """A server of its own, which can crash and be started again. `address` is its DSN, another one at each start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "pg"
        self._running = ExitStack()
        self.start()

    @property
    def address(self) -> str:
        return self._part.address

    @property
    def socket(self) -> str:
        return f"{parse_qs(urlsplit(self.address).query)['host'][0]}/.s.PGSQL.5432"

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate`: no connection is ended, nothing is written out."""
        os.kill(int((self._data / "cluster" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        self._part.finish()
        self.stop()

    def start(self) -> None:
        """Recovers from the log."""
        options = ("--data", str(self._data), "--no-fsync")
        part = Part(self._folder / "pg.ready", "lifemask.cli.embedded.postgres", *options)
        self._part = self._running.enter_context(part)

    def stop(self) -> None:
        self._running.close()


class House(Stack):
    """The system, its proxies by name, and an app that may call it."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], made: Mapping[str, Proxy], key: str, postgres: Postgres
    ) -> None:
        super().__init__(folder, settings)
        self.proxies = made
        self.key = key
        self.reading = Reading(audits=None)
        """How to look on where Kafka or the store are not the system's own; never through a proxy."""
        self._postgres = postgres
        self._sandbox: dict[str, str] = {}
        self._announce()

    @property
    def kafka(self) -> str:
        return self.reading.settings.get("LIFEMASK_KAFKA") or super().kafka

    @property
    def sandbox(self) -> dict[str, str]:
        return self._sandbox

    def look_on(self, sandbox: dict[str, str], parts: Mapping[str, str]) -> None:
        """The ways that are not through proxies: for whoever looks on."""
        self._sandbox, self.reading = sandbox, Reading(settings=parts, audits=None)

    def stop_service(self, service: str) -> int:
        """SIGTERM, as a deploy does; returns the pid it had."""
        os.kill(pid := self.pid_of(service), signal.SIGTERM)
        return pid

    def crash_postgres(self) -> None:
        """Its port stays closed until `start_postgres`."""
        self._postgres.crash()
        self.proxies["postgres"].close()

    def start_postgres(self) -> None:
        """On the same data, behind the same port."""
        self._postgres.start()
        self._announce()
        self.proxies["postgres"].target = self._postgres.socket
        self.proxies["postgres"].open()

    def _announce(self) -> None:
        """Operators' commands look there, and so does `dsn`."""
        (ready := self.data / "run" / "postgres.ready").parent.mkdir(exist_ok=True)
        ready.write_text(self._postgres.address)

    def said(self, *events: str) -> int:
        """How often one of these is in the services' logs."""
        words = [f'"{event}"' for event in events]
        logs = (path.read_text(errors="replace") for path in (self.data / "logs").glob("*.log"))
        return sum(log.count(word) for log in logs for word in words)


@contextmanager
def house(
    folder: Path, parts: Mapping[str, str] | None = None, through: Mapping[str, Ways] | None = None
) -> Iterator[House]:
    """A system that is not started yet, with everything around it.

    `parts`: variables that name parts of others, as whoever looks on reaches them. `through`: more proxies by name.
    """
    parts, through = parts or {}, through or {}
    with ExitStack() as stack:
        postgres = Postgres(folder)
        stack.callback(postgres.stop)
        outside = stack.enter_context(_sandbox(folder))
        listener = stack.enter_context(listening())
        targets = {
            "postgres": postgres.socket,
            "provider": urlsplit(outside["replicate"]).netloc,
            "hub": urlsplit(outside["hub"]).netloc,
            "smtp": urlsplit(outside["smtp"]).netloc,
        }
        made = stack.enter_context(proxies(**targets, **{n: t for n, (t, _) in through.items()}))
        key = f"lm_{secrets.token_urlsafe(32)}"
        chosen = {**IMPATIENT, **_ways(folder, made), **_app(folder, listener, key), **parts}
        for name, (_, leads) in through.items():
            chosen |= leads(made[name])
        system = House(folder, chosen, made, key, postgres)
        system.look_on(outside, parts)
        try:
            yield system
        finally:
            for proxy in made.values():
                proxy.mend()
            system.stop()


def _ways(folder: Path, made: Mapping[str, Proxy]) -> dict[str, str]:
    """The variables that lead the services through the proxies."""
    (data := folder / "data").mkdir()
    port = choose_ports(["ingest"], data)["ingest"]  # `up` takes it again
    return {
        "LIFEMASK_POSTGRES": f"postgresql://postgres@{made['postgres'].address}/postgres",
        "REPLICATE_API_TOKEN": _PROVIDER_TOKEN,
        "REPLICATE_BASE_URL": f"http://{made['provider'].address}",
        "LIFEMASK_REPLICATE_DESTINATION": "lifemask/models",
        "LIFEMASK_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "HF_TOKEN": _HUB_TOKEN,
        "HF_ENDPOINT": f"http://{made['hub'].address}",
        "LIFEMASK_HF_NAMESPACE": "lifemask",
        "LIFEMASK_SMTP": f"smtp://{made['smtp'].address}",
        "LIFEMASK_MAIL_FROM": "lifemask@example.com",
    }


def _app(folder: Path, listener: Listener, key: str) -> dict[str, str]:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    row = {"webhook_url": f"{listener.url}/hook/{APP}", "webhook_secret": secret}
    row["key_sha256"] = hashlib.sha256(key.encode()).hexdigest()
    (path := folder / "apps.json").write_text(json.dumps({APP: row}))
    return {"LIFEMASK_APPS": str(path), "LIFEMASK_APP": APP, "LIFEMASK_APP_KEY": key}


@contextmanager
def _sandbox(folder: Path) -> Iterator[dict[str, str]]:
    """Provider, hub and mail server; yields where they are."""
    options = [f"--{name}={value}" for name, value in _SANDBOX.items()]
    options += ["--data", str(folder / "sandbox"), "--destination", "lifemask/models", "--webhook-retry-seconds", "10"]
    with Part(folder / "sandbox.ready", "lifemask.sandbox", *options) as part:
        found: dict[str, str] = json.loads(part.address)
        yield found
