"""What an audit says: a tree of findings, each with its own state. There is never one tick for all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How far something could be proven."""

    REHASHED = "re-hashed"
    """The bytes were read now and have the digest that is signed."""
    DISPOSED = "signed, bytes disposed"
    """The digest is signed; the bytes were deleted, which is signed as well. `at`: when."""
    AGREES = "agrees"
    """A row or event says what the chain says."""
    TOLD = "told"
    """Something that was done or is so; nothing to compare it with."""
    UNSEEN = "not seen"
    """It could not be looked at here. `why` says what was missing."""
    BROKEN = "broken"
    """It does not hold. `why` says what, with both digests where there are two."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an audit and what hangs on it.

    `who` is the holder of a key, `keyid` the key. `at` is when somebody else than its signer saw it (a statement), or
    when it was done. `what` is for people. `expected` and `found` are SHA-256 digests or other values that differ.
    """

    name: str
    state: State
    what: str = ""
    who: str | None = None
    keyid: str | None = None
    at: datetime | None = None
    why: str = ""
    expected: str | None = None
    found: str | None = None
    below: tuple["Finding", ...] = ()

    def each(self) -> Iterator["Finding"]:
        """Itself, and all below it."""
        yield self
        for one in self.below:
            yield from one.each()

    def as_fields(self) -> dict[str, Any]:
        """For JSON; what is not said is left out."""
        fields: dict[str, Any] = {"name": self.name, "state": self.state.value}
        for name in ("what", "who", "keyid", "why", "expected", "found"):
            if value := getattr(self, name):
                fields[name] = value
        if self.at:
            fields["at"] = self.at.isoformat()
        if self.below:
            fields["below"] = [one.as_fields() for one in self.below]
        return fields


@dataclass(frozen=True, slots=True)
class Report:
    """The audit of one model."""

    model: str
    user: str
    run: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Everything that does not hold."""
        return tuple(one for finding in self.findings for one in finding.each() if one.state is State.BROKEN)

    @property
    def unseen(self) -> tuple[Finding, ...]:
        """Everything that could not be looked at."""
        return tuple(one for finding in self.findings for one in finding.each() if one.state is State.UNSEEN)

    @property
    def holds(self) -> bool:
        """Whether nothing is broken."""
        return not self.broken

    def as_fields(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.model,
            "user": self.user,
            "run": self.run,
            "holds": self.holds,
            "broken": len(self.broken),
            "unseen": len(self.unseen),
            "findings": [finding.as_fields() for finding in self.findings],
        }


def broken(name: str, why: str, expected: object = None, found: object = None, **more: Any) -> Finding:
    """Something that does not hold."""
    return Finding(name, State.BROKEN, why=why, expected=_text(expected), found=_text(found), **more)


def compared(name: str, expected: Mapping[str, object], found: Mapping[str, object], what: str = "") -> Finding:
    """Whether `found` says of every name of `expected` the same; each difference is a finding below."""
    differing = tuple(
        broken(f"{name}: {each}", "differs", value, found.get(each))
        for each, value in expected.items()
        if found.get(each) != value
    )
    state = State.BROKEN if differing else State.AGREES
    return Finding(
        name, state, what=what, why="says something else than the chain" if differing else "", below=differing
    )


def group(name: str, below: Sequence[Finding], what: str = "", *, empty: str = "") -> Finding:
    """A heading over findings: as bad as the worst of them. `empty`: why there is nothing below it."""
    if not below:
        return Finding(name, State.UNSEEN, why=empty)
    worst = max((one.state for one in below), key=_BADNESS.index)
    times = {one.at for one in below}
    return Finding(name, worst, what=what, at=times.pop() if len(times) == 1 else None, below=tuple(below))


_BADNESS = (State.TOLD, State.AGREES, State.REHASHED, State.DISPOSED, State.UNSEEN, State.BROKEN)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
