"""The metadata block of a model card, as the hub reads it."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]  # published without type information

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
EMPTY = "empty or missing yaml metadata in repo card"


class CardError(Exception):
    """The metadata cannot be read, or the hub would refuse it; the text says why."""


def read_card(text: str) -> dict[str, Any]:
    """The metadata of a card, {} without any. Raises CardError."""
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}
    try:
        data = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        raise CardError("YAML metadata cannot be parsed") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CardError("YAML metadata must be a mapping")
    return _checked(data)


def _checked(data: dict[str, Any]) -> dict[str, Any]:
    tags = data.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise CardError('"tags" must be an array of strings')
    for name in ("license", "license_name", "license_link", "pipeline_tag", "instance_prompt"):
        if name in data and not isinstance(data[name], str | list):
            raise CardError(f'"{name}" must be a string')
    if data.get("license") == "other" and "license_name" not in data:
        raise CardError('"license_name" is required when license is other')
    return data
