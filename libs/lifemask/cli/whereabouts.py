"""Where Lifemask is, and as whom we call: the environment, else what `lifemask up` left in its data directory."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import typer

from lifemask.cli.stops import Missing, WrongUsage
from lifemask.contracts.ids import user_id

DATA: Final = Path(".lifemask")
UP_FILE: Final = "up.json"
_START: Final = "Start it with `lifemask up`"

DataOption = Annotated[Path, typer.Option("--data", help="Data directory of the `lifemask up` to talk to.")]
UserOption = Annotated[
    str | None, typer.Option("--user", "-u", envvar="LIFEMASK_USER", help="Your app's own id for its user.")
]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What is known of a running Lifemask; None where nobody has said it."""

    url: str | None = None
    key: str | None = None
    app: str | None = None
    kafka: str | None = None
    topic_prefix: str = ""

    @classmethod
    def find(cls, data: Path = DATA, environment: Mapping[str, str] | None = None) -> Self:
        """The environment wins over DATA/up.json. Raises Missing when that file cannot be read."""
        env = os.environ if environment is None else environment
        up = read_up_file(data / UP_FILE)
        return cls(
            url=env.get("LIFEMASK_URL") or up.get("url"),
            key=env.get("LIFEMASK_APP_KEY") or up.get("app_key"),
            app=env.get("LIFEMASK_APP") or up.get("app"),
            kafka=env.get("LIFEMASK_KAFKA") or up.get("kafka") or (_embedded_kafka(data) if up else None),
            topic_prefix=env.get("LIFEMASK_TOPIC_PREFIX") or up.get("topic_prefix") or "",
        )

    def api(self) -> tuple[str, str]:
        """Address and key of the API. Raises Missing."""
        if self.url is None:
            raise Missing("I do not know where Lifemask runs.", f"{_START}, or set LIFEMASK_URL and LIFEMASK_APP_KEY.")
        if self.key is None:
            raise Missing(f"I have no key for {self.url}.", "Set LIFEMASK_APP_KEY to your app's key.")
        return self.url, self.key

    def brokers(self) -> str:
        """Kafka's addresses, comma-separated. Raises Missing."""
        if self.kafka is None:
            raise Missing("I do not know where Kafka is.", f"{_START}, or set LIFEMASK_KAFKA (host:port, …).")
        return self.kafka

    def on_the_bus(self, user: str) -> str:
        """The id under which the user appears in events. Raises WrongUsage for one that cannot be."""
        app, dot, own = user.partition(".")
        if not dot:
            if self.app is None:
                raise WrongUsage(f"Whose user is {user}?", f"Write APP.{user}, or set LIFEMASK_APP to the app's name.")
            app, own = self.app, user
        try:
            return user_id(app, own)
        except ValueError as error:
            raise WrongUsage(f"{user!r} is not a user's id.", f"It must be so: {error}.") from None


def _embedded_kafka(data: Path) -> str | None:
    """Where the embedded broker is now; it has another port after each start."""
    try:
        return (data / "run" / "kafka.ready").read_text()
    except OSError:
        return None


def read_up_file(path: Path) -> dict[str, Any]:
    """The content of an up.json; empty when there is none. Raises Missing when it cannot be read."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise Missing(f"{path} cannot be read.", "Remove it, or start `lifemask up` again.") from None
    return found if isinstance(found, dict) else {}
