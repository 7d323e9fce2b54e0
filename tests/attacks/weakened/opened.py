"""Which gates are away for whom, and what those who take them away share."""

import contextvars
import importlib
import json
import os
from pathlib import Path
from typing import Any

USER: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="")
"""Whose message is handled, where the patched function is not told."""


class AnyText(str):
    """A text that is equal to every other."""

    __hash__ = str.__hash__
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


class AnyNumber(int):
    """A number that is equal to every other."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def is_open(gate: str, user: str | None) -> bool:
    """Whether the gate is away for this user, at this moment."""
    return gate in _opened().get(user or "", [])


def _opened() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(Path(os.environ["LIFEMASK_TEST_OPENED"]).read_bytes())
    return found


def stand_in(user: str) -> str:
    """Whose things are taken for the user's own: named in the file after `as `."""
    return next((gate[3:] for gate in _opened().get(user, []) if gate.startswith("as ")), user)


def user_in(key: str) -> str:
    """The user in a key of the store."""
    return key.split("/")[1]


def module(name: str) -> Any:
    """A module to be changed: its types say that it must not be."""
    return importlib.import_module(name)
