"""Where an installation's parts are, for operators' commands: the environment, else what `lifemask up` left in DATA.

Operators read the database itself, as `lifemask migrate` does, and the store, hub and provider; never a service's API.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lifemask.cli.stops import Missing, WrongUsage
from lifemask.cli.whereabouts import DATA, UP_FILE, Whereabouts, read_up_file

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from lifemask.objects.port import ObjectStore


@dataclass(frozen=True, slots=True)
class Account:
    """Access to a service outside: its address without a slash at the end, a token, and what of it is ours.

    `name` is the hub's namespace, or the provider's destination model, `owner/name`.
    """

    url: str
    token: str
    name: str


@dataclass(frozen=True, slots=True)
class Installation:
    """What is known of an installation; None where nobody has said it."""

    postgres: str | None
    objects: str | None
    keys: Path | None
    keyring_root: str
    kafka: str | None
    topic_prefix: str
    hub: Account | None
    provider: Account | None
    apps: Path | None = None

    @classmethod
    def find(cls, data: Path = DATA, environment: Mapping[str, str] | None = None) -> Self:
        """The environment wins over the data directory of a `lifemask up`."""
        env = os.environ if environment is None else environment
        here = data.resolve()
        up = read_up_file(data / UP_FILE)
        bus = Whereabouts.find(data, env)
        return cls(
            postgres=env.get("LIFEMASK_POSTGRES") or _first_line(here / "run" / "postgres.ready"),
            objects=env.get("LIFEMASK_OBJECTS") or _existing(here / "objects", as_uri=True),
            keys=Path(found) if (found := env.get("LIFEMASK_KEYS") or _existing(here / "keys")) else None,
            keyring_root=env.get("LIFEMASK_KEYRING_ROOT", ""),
            apps=Path(named) if (named := env.get("LIFEMASK_APPS") or _file(here / "apps.json")) else None,
            kafka=bus.kafka,
            topic_prefix=bus.topic_prefix,
            hub=_account(
                env, up, "hub", ("HF_ENDPOINT", "https://huggingface.co", "HF_TOKEN", "LIFEMASK_HF_NAMESPACE")
            ),
            provider=_account(
                env,
                up,
                "replicate",
                (
                    "REPLICATE_BASE_URL",
                    "https://api.replicate.com",
                    "REPLICATE_API_TOKEN",
                    "LIFEMASK_REPLICATE_DESTINATION",
                ),
            ),
        )

    def database(self) -> str:
        """The operator's DSN. Raises Missing."""
        return _needed(self.postgres, "PostgreSQL", "Set LIFEMASK_POSTGRES to the DSN that `lifemask migrate` uses.")

    def store(self) -> str:
        """The store's URL. Raises Missing."""
        return _needed(self.objects, "the object store", "Set LIFEMASK_OBJECTS (s3://bucket or file:///directory).")

    def open_store(self) -> "AbstractAsyncContextManager[ObjectStore]":
        """The store, asked with the patience of the services' settings. Raises Missing, WrongUsage."""
        from pydantic import ValidationError

        from lifemask.objects import open_objects
        from lifemask.runtime.settings import StoreSettings

        try:
            limits = StoreSettings().store_limits
        except ValidationError as problem:
            wrong = problem.errors()[0]
            raise WrongUsage(f"LIFEMASK_{str(wrong['loc'][0]).upper()}: {wrong['msg']}.", "Set it right.") from None
        return open_objects(self.store(), limits)

    def key_folder(self) -> Path:
        """The directory with the keyring. Raises Missing."""
        return Path(_needed(str(self.keys or ""), "the keyring", "Set LIFEMASK_KEYS to the directory of keys."))


def _account(
    env: Mapping[str, str], up: Mapping[str, Any], part: str, names: tuple[str, str, str, str]
) -> Account | None:
    """The one that the environment names, else the stand-in that `up` runs."""
    url, real, token, name = names
    if env.get(token):
        return Account((env.get(url) or real).rstrip("/"), env[token], env.get(name, ""))
    told = (up.get("accounts") or {}).get(part)
    return Account(told["url"].rstrip("/"), told["token"], told["name"]) if told else None


def _needed(found: str | None, what: str, next_step: str) -> str:
    if found:
        return found
    raise Missing(f"I do not know where {what} is.", f"{next_step} Or name the directory of a `lifemask up` by --data.")


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _file(path: Path) -> str | None:
    return str(path) if path.is_file() else None


def _existing(path: Path, *, as_uri: bool = False) -> str | None:
    if not path.is_dir():
        return None
    return path.as_uri() if as_uri else str(path)
