"""docker-compose.yml as a container engine reads it: variables filled in, anchors merged."""

import functools
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # published without type information
from tools.settings_page import SETTINGS

from lifemask.bus.roles import SERVICES

ROOT: Final = Path(__file__).parents[2]
assert set(SETTINGS) == set(SERVICES)

# The innermost variable first: it has no brace inside.
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<rule>:[-+])?(?P<text>[^{}]*)\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with its variables replaced, innermost first: `${A}`, `${A:-default}`, `${A:+instead}`."""
    while _VARIABLE.search(text):
        text = _VARIABLE.sub(lambda found: _value(found, values), text)
    return text


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(found["name"], "")
    if found["rule"] == ":+":
        return found["text"] if value else ""
    return value or found["text"]


def compose(**values: str) -> dict[str, Any]:
    """The compose file with these variables set and no others."""
    return deepcopy(_parsed(filled((ROOT / "docker-compose.yml").read_text(), values)))


@functools.cache
def _parsed(text: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def environment_of(service: str, **values: str) -> dict[str, str]:
    """The environment of a service's container, beside what the image sets."""
    given = compose(**values)["services"][service]["environment"]
    return {name: str(value) for name, value in given.items()}


def dotenv(text: str, **values: str) -> dict[str, str]:
    """A `.env` file as compose reads it, with these values written into it."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, is_set, value = line.partition("=")
        if is_set and not line.startswith("#"):
            found[name] = values.get(name) or filled(value, found)
    return found
