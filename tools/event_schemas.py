"""The JSON Schemas of events, as a consumer should read them."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from lifemask.contracts import Event

ROOT: Final = Path(__file__).parent.parent


def package_version() -> str:
    """The version of `lifemask-contracts`."""
    found = tomllib.loads((ROOT / "contracts" / "pyproject.toml").read_text())
    return str(found["project"]["version"])


def schema(event: type[Event]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of an event as a consumer should read it: unknown fields are allowed."""
    body = event.model_json_schema(mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://lifemask.dev/schemas/{event.ce_type}.json",
        "x-topic": event.topic.value,
        "x-key": "user_id",
    }
    return opened({**head, **body})


def opened(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema for consumers: without `additionalProperties: false`, which binds producers only, and with whole
    paragraphs as descriptions.
    """
    cleaned: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "additionalProperties" and value is False:
            continue
        if isinstance(value, dict):
            cleaned[name] = opened(value)
        elif isinstance(value, list):
            cleaned[name] = [opened(item) if isinstance(item, dict) else item for item in value]
        elif name == "description" and isinstance(value, str):
            cleaned[name] = re.sub(r"(?<!\n)\n(?!\n)", " ", value)
        else:
            cleaned[name] = value
    return cleaned


def text(value: object) -> str:
    """A JSON document as it is committed."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
