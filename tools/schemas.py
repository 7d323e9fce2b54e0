"""Generates what is committed and derived: JSON Schemas and examples of the events, AsyncAPI and OpenAPI documents,
and the page of settings.

python -m tools.schemas            writes them
python -m tools.schemas --check    exits 1 and names each file that is not what the code says
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from lifemask.contracts import EVENTS
from lifemask.ingest.http.app import describe
from tools.asyncapi import document
from tools.event_schemas import ROOT, schema, text
from tools.settings_page import page

SCHEMAS = ROOT / "contracts" / "schemas"
EXAMPLES = ROOT / "contracts" / "examples"


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with its content."""
    for event in EVENTS:
        yield SCHEMAS / f"{event.ce_type}.json", text(schema(event))
        yield EXAMPLES / f"{event.ce_type}.json", text(json.loads(event.example().body()))
    yield ROOT / "contracts" / "asyncapi.yaml", document()
    yield ROOT / "docs" / "openapi.json", text(describe())
    yield ROOT / "docs" / "settings.md", page()


def stale() -> list[Path]:
    """Files that differ from what the code says, or that nothing generates any more."""
    files = dict(generated())
    found = {path for folder in (SCHEMAS, EXAMPLES) for path in folder.glob("*.json")}
    differing = [path for path, content in files.items() if not path.exists() or path.read_text() != content]
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
    for path, content in generated():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
