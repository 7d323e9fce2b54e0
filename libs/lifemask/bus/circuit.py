"""A dependency that is away pauses the messages that need it, and no others, at no cost of attempts.

The same pause as of a wrong setting, with another cause: what needs the dependency is not declared but found out, as
the types of the messages that failed with its code. Each process finds out by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from lifemask.bus.lanes import Message
from lifemask.bus.retry import Limits, Pause, delay_after
from lifemask.contracts import FailureCode

AWAY: Final = frozenset({FailureCode.STORE_UNAVAILABLE, FailureCode.PROVIDER_UNAVAILABLE, FailureCode.HUB_UNAVAILABLE})
"""Codes that say that a dependency does not answer, which is no fault of the message's."""
_REMEMBERED: Final = 10_000
"""Failing messages remembered; beyond, all are forgotten, and each has one failure more that is not counted."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why messages wait."""

    code: FailureCode
    detail: str


@dataclass(frozen=True, slots=True)
class Setback:
    """What a failure means. `counts`: it is the message's own. `lasts`: a probe failed too, so runs are told."""

    delay: timedelta
    counts: bool
    opened: bool
    lasts: bool


@dataclass
class _Failing:
    proofs: int
    times: int = 0


@dataclass
class Circuit:
    """One dependency, by the code of its absence."""

    code: FailureCode
    limits: Limits
    pause: Pause
    kinds: set[str] = field(default_factory=set)
    """Types of messages that failed for want of it."""
    failures: int = 0
    """In a row, of whatever message."""
    proofs: int = 0
    """Messages of these types that were handled: the dependency works for others."""
    _failing: dict[str, _Failing] = field(default_factory=dict)

    def failed(self, message: Message, lane: str, asked: timedelta | None) -> Setback:
        """Notes a failure. The message is to blame only if others got through since it failed before."""
        self.kinds.add(message.type)
        self.failures += 1
        if len(self._failing) >= _REMEMBERED:
            self._failing.clear()
        mine = self._failing.setdefault(message.msg_id, _Failing(self.proofs))
        counts = mine.times > 0 and self.proofs > mine.proofs
        mine.proofs, mine.times = self.proofs, mine.times + 1
        was_active, lasts = self.pause.active, self.pause.is_probe(lane)
        delay = delay_after(message.msg_id, message.attempts + mine.times - 1, self.limits)
        if was_active or self.failures >= self.limits.circuit:
            detail = f"{self.failures} failures in a row"
            delay = self.pause.start(Reason(self.code, detail), lane)
        return Setback(max(delay, asked or timedelta(0)), counts, self.pause.active and not was_active, lasts)

    def handled(self, message: Message, lane: str, *, proven: bool) -> bool:
        """Notes that a message was handled; whether that ends the pause. `proven`: something came of it."""
        if message.type not in self.kinds:
            return False
        self._failing.pop(message.msg_id, None)
        if self.pause.active and not self.pause.got_through(lane):
            return False  # it was under way before
        ended = self.failures >= self.limits.circuit
        self.failures = 0
        self.proofs += proven
        return ended


class Circuits:
    """The dependencies of one process's handlers, as far as they were ever away."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_code: dict[FailureCode, Circuit] = {}

    def failed(self, code: FailureCode, message: Message, lane: str, asked: timedelta | None) -> Setback:
        """Notes that `message` failed because a dependency is away."""
        circuit = self._by_code.get(code)
        if circuit is None:
            circuit = self._by_code[code] = Circuit(code, self._limits, Pause(self._limits))
        return circuit.failed(message, lane, asked)

    def handled(self, message: Message, lane: str, *, proven: bool) -> Sequence[FailureCode]:
        """Notes that `message` was handled; the codes whose pause ends by that."""
        return [each.code for each in self._by_code.values() if each.handled(message, lane, proven=proven)]

    def wait(self, message: Message, lane: str) -> timedelta | None:
        """How long the message must wait, untried; None when it may be tried, maybe as the probe."""
        holding = [each.pause for each in self._open() if message.type in each.kinds]
        if waits := [pause.remaining() for pause in holding if not pause.may_probe()]:
            return max(waits)
        for pause in holding:
            pause.probing(lane)
        return None

    def untried(self) -> Sequence[Circuit]:
        """Those that are ripe for a probe: their pause ends as well when no message waits for it."""
        return [each for each in self._open() if each.pause.may_probe()]

    def away(self) -> tuple[str, ...]:
        """What readiness shows."""
        return tuple(
            f"{each.code.value}: {each.failures} failures in a row; tried again in {each.pause.remaining().seconds} s"
            for each in self._open()
        )

    def _open(self) -> Iterator[Circuit]:
        return (each for each in self._by_code.values() if each.pause.active)
