"""Settings of the notifier beside those that all services share."""

import base64
import json
from datetime import timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, model_validator

from lifemask.contracts import OWN_APP
from lifemask.notifier.domain import Operator, Schedule, SmtpServer, Target
from lifemask.runtime.settings import ServiceSettings

_PORTS: Final = {"smtp": 25, "smtps": 465}


class NotifierSettings(ServiceSettings):
    """How people and apps are reached."""

    smtp: SecretStr = SecretStr("smtp://127.0.0.1:25")
    """`smtp://[user:password@]host:port[?starttls=required]`, or `smtps://…` for TLS from the first byte."""
    mail_from: str = "Lifemask <lifemask@localhost>"
    """Who the mail is from, with or without a name."""
    apps: Path = Path("./.lifemask/apps.json")
    """JSON file: per app its webhook's `webhook_url` and `webhook_secret` (`whsec_…`), beside its key."""
    operator_mail: str = ""
    """Address of whoever runs this installation: gets one mail in `security_window` about runs whose custody is
    broken and about refused records. Empty: the log and the tables have to do."""
    operator_gather: float = Field(default=10, ge=0)
    """Seconds that such a mail waits for the reports of the other services."""
    mail_timeout: float = Field(default=30, gt=0)
    """Seconds that the mail server may be silent."""
    webhook_timeout: float = Field(default=10, gt=0)
    """Seconds for one whole call; Standard Webhooks advises 15 to 30, a lane of ours waits meanwhile."""
    notify_first_delay: float = Field(default=5, gt=0)
    """Seconds after the first failed try; each next delay is three times as long."""
    notify_longest_delay: float = Field(default=8 * 3600, gt=0)
    """Seconds between tries at most."""
    notify_patience: float = Field(default=3 * 86400, gt=0)
    """Seconds after which we give up."""

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        """A wrong value is named at the start, not when the first model is ready."""
        _ = (self.server, self.sender, self.targets, self.operator)
        return self

    @property
    def server(self) -> SmtpServer:
        """The mail server. Raises ValueError."""
        return read_server(self.smtp.get_secret_value())

    @property
    def sender(self) -> Address:
        """The sender's address. Raises ValueError."""
        name, address = parseaddr(self.mail_from) if self.mail_from.isprintable() else ("", "")
        try:
            return Address(name, addr_spec=address)
        except (MessageError, ValueError, IndexError) as error:
            raise ValueError("LIFEMASK_MAIL_FROM is not a mail address, like Lifemask <models@example.com>") from error

    @property
    def operator(self) -> Operator:
        """Who is told of broken custody and of attacks. Raises ValueError."""
        try:
            address = Address(addr_spec=self.operator_mail).addr_spec if self.operator_mail else None
        except (MessageError, ValueError, IndexError) as error:
            raise ValueError("LIFEMASK_OPERATOR_MAIL is not a mail address, like operator@example.com") from error
        return Operator(address, timedelta(seconds=self.security_window), timedelta(seconds=self.operator_gather))

    @property
    def targets(self) -> dict[str, Target]:
        """The apps' webhooks, by app; none when there is no apps file. Raises ValueError."""
        return read_targets(self.apps.read_bytes()) if self.apps.exists() else {}

    @property
    def schedule(self) -> Schedule:
        """When to try again."""
        return Schedule(
            first=timedelta(seconds=self.notify_first_delay),
            longest=timedelta(seconds=self.notify_longest_delay),
            patience=timedelta(seconds=self.notify_patience),
        )


class _App(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # ingest reads other parts of the same file

    webhook_url: str | None = None
    webhook_secret: str | None = None


def read_server(url: str) -> SmtpServer:
    """The server in a URL. A password never goes over a network in the clear. Raises ValueError."""
    parsed = urlsplit(url)
    if parsed.scheme not in _PORTS or not parsed.hostname or parsed.path not in {"", "/"}:
        raise ValueError("LIFEMASK_SMTP must look like smtp://host:port or smtps://user:password@host:port")
    username = unquote(parsed.username) if parsed.username else None
    wants_tls = parse_qs(parsed.query).get("starttls") == ["required"]
    is_far = username is not None and parsed.scheme == "smtp" and not is_loopback(parsed.hostname)
    return SmtpServer(
        host=parsed.hostname,
        port=parsed.port or _PORTS[parsed.scheme],
        username=username,
        password=unquote(parsed.password) if parsed.password else None,
        tls=parsed.scheme == "smtps",
        starttls=wants_tls or is_far,
    )


def read_targets(text: bytes) -> dict[str, Target]:
    """The webhooks in an apps file. Raises ValueError naming the app, never a secret."""
    try:
        apps = TypeAdapter(dict[str, _App]).validate_python(json.loads(text))
    except (ValueError, ValidationError) as error:
        raise ValueError("the file of LIFEMASK_APPS is not a JSON object of apps") from error
    if OWN_APP in apps:
        raise ValueError(f"the file of LIFEMASK_APPS names an app {OWN_APP}: this name is reserved")
    return {name: _target(name, app) for name, app in apps.items() if app.webhook_url}


def _target(name: str, app: _App) -> Target:
    url = urlsplit(app.webhook_url or "")
    if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname))):
        raise ValueError(f"app {name}: webhook_url must be https (http only to this machine)")
    secret = app.webhook_secret or ""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or len(key) < 24:  # the standard's lower bound
        raise ValueError(f"app {name}: webhook_secret must be whsec_ and the base64 of at least 24 random bytes")
    return Target(url.geturl(), secret)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
