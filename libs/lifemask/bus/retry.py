"""Delays: after a failed attempt, and of a paused stage."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from opentelemetry import metrics

from lifemask.contracts import FailureCode

_PAUSED: Final = metrics.get_meter("lifemask.bus").create_up_down_counter(
    "lifemask.stage.paused", unit="{process}", description="Processes whose messages wait, by what they wait for"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds a worker keeps; see `ServiceSettings` for their meaning and defaults."""

    lease: timedelta
    attempts: int
    claims: int
    lanes: int
    burst: int
    backoff: timedelta
    backoff_max: timedelta
    pause: timedelta
    pause_max: timedelta
    circuit: int
    poll: float
    grace: float


class Cause(Protocol):
    """Why messages wait: a setting of ours is wrong, or something outside is away."""

    @property
    def code(self) -> FailureCode:
        """What readiness, log and metric name."""

    @property
    def detail(self) -> str:
        """More of it, no personal data."""


def delay_after(identity: str, attempts: int, limits: Limits) -> timedelta:
    """Exponential delay after `attempts` earlier failures, with a jitter of half to full that depends on the message.

    `identity` is a hexadecimal digest: the jitter spreads messages without a random source.
    """
    full = min(limits.backoff * float(2 ** min(attempts, 20)), limits.backoff_max)
    spread = int(identity[attempts % 56 : attempts % 56 + 8], 16) / 0xFFFFFFFF
    return full * (0.5 + spread / 2)


class Pause:
    """Messages wait but for one, now and then, as a probe: the first that gets through ends the pause.

    Of a wrong setting the whole stage waits (nothing is claimed but control lanes), of a dependency that is away what
    needs it (see `circuit`). Each process finds out by itself: a second one pauses when it meets the same fault.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._delay = limits.pause
        self._until = 0.0
        self._probe: str | None = None
        self.reason: Cause | None = None

    @property
    def active(self) -> bool:
        """Whether the stage waits."""
        return self.reason is not None

    def start(self, reason: Cause, lane: str) -> timedelta:
        """Begins the pause, or prolongs it after a failed probe; returns how long until the next probe.

        Lanes that were at work when the pause began meet the same fault and do not prolong it.
        """
        if self.active and lane != self._probe:
            return self.remaining()
        delay = self._delay
        self._say(reason)
        self._until = time.monotonic() + delay.total_seconds()
        self._delay = min(delay * 2, self._limits.pause_max)
        return delay

    def remaining(self) -> timedelta:
        """How long until the next probe."""
        return timedelta(seconds=max(self._until - time.monotonic(), 0))

    def is_probe(self, lane: str) -> bool:
        """Whether this lane is the one that tries."""
        return self.active and lane == self._probe

    def may_probe(self) -> bool:
        """Whether it is time to try one lane."""
        return time.monotonic() >= self._until

    def probing(self, lane: str) -> None:
        """Remembers the lane claimed as a probe; the next one comes only after the current delay."""
        self._probe = lane
        self._until = time.monotonic() + self._delay.total_seconds()

    def got_through(self, lane: str) -> bool:
        """A lane's message was handled; whether that ends the pause: if it is the probe, the configuration is right."""
        if lane != self._probe or not self.active:
            return False
        self.end()
        return True

    def end(self) -> None:
        """Nothing is held up any more."""
        self._say(None)
        self._probe = None
        self._delay = self._limits.pause

    def _say(self, reason: Cause | None) -> None:
        if self.reason is not None:
            _PAUSED.add(-1, {"code": self.reason.code.value})
        if reason is not None:
            _PAUSED.add(1, {"code": reason.code.value})
        self.reason = reason
