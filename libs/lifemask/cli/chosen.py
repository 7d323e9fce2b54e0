"""Which parts of Lifemask run embedded on this machine, and what is named in the environment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from lifemask.cli.stops import Missing

Environment = Mapping[str, str]

_TO_REPLICATE: Final = "trainings go to Replicate"
_TOGETHER: Final = (
    ("REPLICATE_API_TOKEN", "LIFEMASK_REPLICATE_DESTINATION", _TO_REPLICATE, "the destination, owner/model"),
    ("REPLICATE_API_TOKEN", "LIFEMASK_PUBLIC_URL", _TO_REPLICATE, "the address at which Replicate reaches us"),
    ("HF_TOKEN", "LIFEMASK_HF_NAMESPACE", "models go to the Hugging Face Hub", "the account that owns them"),
    ("LIFEMASK_SMTP", "LIFEMASK_MAIL_FROM", "mail goes out for real", "the sender's address"),
)
"""The variable that chooses a real part, another that must then be there, what the first means, what the second is."""

_NAMED: Final = frozenset(
    {"LIFEMASK_KAFKA", "LIFEMASK_POSTGRES", "LIFEMASK_OBJECTS", "LIFEMASK_KEYS", "LIFEMASK_APPS", "LIFEMASK_PUBLIC_URL"}
    | {name for chosen, needed, _, _ in _TOGETHER for name in (chosen, needed)}
)
"""Variables that replace something of this machine by something that lasts or costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """True where a part is embedded here."""

    kafka: bool = True
    postgres: bool = True
    objects: bool = True
    provider: bool = True
    hub: bool = True
    mail: bool = True

    @classmethod
    def of(cls, environment: Environment) -> Self:
        """Embedded is what the environment does not name. Raises Missing when it names a part only by half."""
        for chosen, needed, means, what in _TOGETHER:
            if environment.get(chosen) and not environment.get(needed):
                raise Missing(
                    f"{chosen} is set, so {means}, but {needed} is not.",
                    f"Set {needed} to {what}, or unset {chosen} to use the sandbox.",
                )
        return cls(
            kafka=not environment.get("LIFEMASK_KAFKA"),
            postgres=not environment.get("LIFEMASK_POSTGRES"),
            objects=not environment.get("LIFEMASK_OBJECTS"),
            provider=not environment.get("REPLICATE_API_TOKEN"),
            hub=not environment.get("HF_TOKEN"),
            mail=not environment.get("LIFEMASK_SMTP"),
        )

    @property
    def sandbox(self) -> bool:
        """Whether any stand-in is needed."""
        return self.provider or self.hub or self.mail


def isolated(environment: Environment) -> dict[str, str]:
    """The environment for a demonstration, which leaves nothing behind and pays nothing: no real part is named."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _NAMED and not name.startswith("LIFEMASK_POSTGRES")
    }


def left_out(environment: Environment) -> list[str]:
    """Names of real parts that `isolated` takes away."""
    return sorted(name for name in _NAMED if environment.get(name))
