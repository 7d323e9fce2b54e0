"""Refuses changes of events that would break stored records or released readers. `schema_changes` has the rules.

python -m tools.compatibility             compares the code with the last release; exits 1 and says what to do
python -m tools.compatibility --release   keeps the schemas of this version of the package in contracts/released
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lifemask.contracts import EVENTS, split_version
from tools.event_schemas import ROOT, package_version, schema, text
from tools.schema_changes import Harm, changes

RELEASED: Final = ROOT / "contracts" / "released"
_IDENTITY: Final = {"x-topic": "topic", "x-key": "key"}

Schemas = Mapping[str, Mapping[str, Any]]
"""JSON Schemas by event type."""


class CannotRelease(Exception):
    """A release that must not be made. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change of a released event that is refused."""

    event: str
    field: str
    what: str
    harm: Harm

    def __str__(self) -> str:
        where = f"{self.event}, {self.field}" if self.field else self.event
        return f"{where}: {self.what}. This breaks {self.harm.value}. {self._advice()}"

    def _advice(self) -> str:
        family, version = split_version(self.event)
        beside = f"leave this event as it is and add {family}.v{version + 1} beside it"
        if self.harm is Harm.RECORDS:
            return f"Take the change back, or {beside}."
        return f"Take the change back, or {beside}, or release the package to all readers first (--readers-first)."


def refusals(old: Schemas, new: Schemas) -> list[Refusal]:
    """Everything in `new` that would break somebody who relies on `old`. New events break nobody."""
    found: list[Refusal] = []
    for event, before in old.items():
        if event not in new:
            found.append(Refusal(event, "", "the event was removed", Harm.RECORDS))
            continue
        after = new[event]
        found += [
            Refusal(event, "", f"its {word} is now {after.get(key)} (it was {before.get(key)})", Harm.RECORDS)
            for key, word in _IDENTITY.items()
            if before.get(key) != after.get(key)
        ]
        found += [
            Refusal(event, change.field, change.what, change.harm) for change in changes(_body(before), _body(after))
        ]
    return found


def _body(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in found.items() if key not in _IDENTITY}


def present() -> Schemas:
    """The schemas as the code says."""
    return {event.ce_type: schema(event) for event in EVENTS}


def last_release(folder: Path = RELEASED) -> tuple[str, Schemas] | None:
    """The newest released version with its schemas; None before the first."""
    versions = sorted((path for path in folder.glob("*.*.*") if path.is_dir()), key=lambda path: _numbers(path.name))
    if not versions:
        return None
    newest = versions[-1]
    return newest.name, {path.stem: json.loads(path.read_text()) for path in sorted(newest.glob("*.json"))}


def release(version: str, schemas: Schemas, folder: Path = RELEASED, *, readers_first: bool = False) -> Path:
    """Keeps `schemas` as `version`; returns its folder. Raises CannotRelease, and then nothing is written.

    With `readers_first` somebody makes sure that every reader has this version before anything is written by it.
    """
    last = last_release(folder)
    if last and _numbers(version) <= _numbers(last[0]):
        raise CannotRelease(f"{last[0]} is released already: raise the version in contracts/pyproject.toml first.")
    refused = [each for each in refusals(last[1] if last else {}, schemas) if not _is_allowed(each, readers_first)]
    if refused:
        raise CannotRelease("\n".join(map(str, refused)))
    made = folder / version
    made.mkdir(parents=True)
    for name, body in schemas.items():
        (made / f"{name}.json").write_text(text(body))
    return made


def _is_allowed(refusal: Refusal, readers_first: bool) -> bool:  # noqa: FBT001 # the command line's flag
    return readers_first and refusal.harm is Harm.READERS


def _numbers(version: str) -> tuple[int, ...]:
    try:
        first, second, third = map(int, version.split("."))
    except ValueError:
        raise CannotRelease(f"the version {version!r} is not three numbers such as 0.2.0.") from None
    return first, second, third


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="keep the schemas of this version as released")
    parser.add_argument(
        "--readers-first",
        action="store_true",
        help="with --release: allow what only breaks older readers, because all of them get this version first",
    )
    given = parser.parse_args()
    try:
        return _release(readers_first=given.readers_first) if given.release else _check()
    except CannotRelease as problem:
        print(f"Not released. {problem}", file=sys.stderr)
        return 1


def _release(*, readers_first: bool) -> int:
    made = release(package_version(), present(), readers_first=readers_first)
    print(f"Released: {made.relative_to(ROOT)}. Commit this folder and never change it.")
    return 0


def _check() -> int:
    last = last_release()
    if last is None:
        print("Nothing is released yet: run `python -m tools.compatibility --release`.", file=sys.stderr)
        return 1
    found = refusals(last[1], present())
    for refusal in found:
        print(f"breaking since {last[0]}: {refusal}", file=sys.stderr)
    if found:
        print("CONTRIBUTING.md, 'Change an event', says what is possible.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
