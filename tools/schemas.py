"""Generates what is committed and derived: JSON Schemas and examples of the events, and the OpenAPI document.

python -m tools.schemas            writes them
python -m tools.schemas --check    exits 1 and names each file that is not what the code says
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from lifemask.contracts import EVENTS, Event
from lifemask.ingest.http.app import describe

ROOT = Path(__file__).parent.parent
SCHEMAS = ROOT / "contracts" / "schemas"
EXAMPLES = ROOT / "contracts" / "examples"


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with its content."""
    for event in EVENTS:
        yield SCHEMAS / f"{event.ce_type}.json", _text(schema(event))
        yield EXAMPLES / f"{event.ce_type}.json", _text(json.loads(event.example().body()))
    yield ROOT / "docs" / "openapi.json", _text(describe())


def schema(event: type[Event]) -> dict[str, object]:
    """The JSON Schema (2020-12) of an event as a consumer should read it: unknown fields are allowed."""
    body = event.model_json_schema(mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://lifemask.dev/schemas/{event.ce_type}.json",
        "x-topic": event.topic.value,
        "x-key": "user_id",
    }
    return _open({**head, **body})


def _open(schema: dict[str, object]) -> dict[str, object]:
    """Without `additionalProperties: false`, which binds producers only."""
    cleaned: dict[str, object] = {}
    for name, value in schema.items():
        if name == "additionalProperties" and value is False:
            continue
        if isinstance(value, dict):
            cleaned[name] = _open(value)
        elif isinstance(value, list):
            cleaned[name] = [_open(item) if isinstance(item, dict) else item for item in value]
        else:
            cleaned[name] = value
    return cleaned


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def stale() -> list[Path]:
    """Files that differ from what the code says, or that nothing generates any more."""
    files = dict(generated())
    found = {path for folder in (SCHEMAS, EXAMPLES) for path in folder.glob("*.json")}
    differing = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    return sorted(differing) + sorted(found - files.keys())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, only tell what is stale")
    if parser.parse_args().check:
        paths = stale()
        for path in paths:
            print(f"stale: {path.relative_to(ROOT)} (run `make schemas`)", file=sys.stderr)
        return 1 if paths else 0
    for path in stale():
        path.unlink(missing_ok=True)
    for path, text in generated():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
