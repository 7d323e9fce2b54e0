"""What a handler may return, raise and ask of the bus. Pure: no I/O, no framework; all a handler imports of ours.

A handler is `async def handler(message, *, port=…, turn=…) -> Sequence[Outcome]`: one frozen message in, ports as
keyword-only arguments (matched by name), outcomes out. Outcomes take effect in the one transaction that finishes
the message, or not at all.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal, Protocol

from lifemask.contracts import Event, FailureCode, RunId, UserId, Value


class Reminder(Value):
    """A message of a service to itself, delivered later. `ce_type` is `lifemask.<service>.<what>.v<version>`."""

    ce_type: ClassVar[str]

    user_id: UserId
    run_id: RunId | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Deliver `message` after `after`; with `control` in the user's control lane, which no pause or back-off delays."""

    message: Reminder
    after: timedelta
    control: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Store `row`, a value the service's own `Writer` knows, in the finishing transaction.

    Kept also when the run is over meanwhile: a row whose state must not go back says so in its statement
    (compare-and-set).
    """

    row: object


Outcome = Event | Later | Keep
Handler = Callable[..., Awaitable[Sequence[Outcome]]]


class Turn(Protocol):
    """The lane's turn that the handler is working in. Given to a handler that has a parameter `turn`."""

    @property
    def got_at(self) -> datetime:
        """When the message was stored by the intake, by the database's clock: the same at every redelivery."""

    @property
    def epoch(self) -> int:
        """The fence: grows with every claim of the lane."""

    @property
    def tries(self) -> int:
        """Failed attempts at this message so far."""

    async def check(self) -> None:
        """Ends the handler unless the lane is still ours and, for a message of a run, the run is here and not over.

        Call it before each outside write that must not happen after the run's end.
        """

    async def brought(self) -> bool:
        """Whether this message brought its run here: False when another one did before."""

    async def commit(self, *outcomes: Later | Keep) -> None:
        """Stores outcomes NOW, in a transaction of their own, under the same conditions as `check`."""


class Retryable(Exception):
    """Try the message again later: its lane backs off. `after` is a delay the other side asked for.

    With `counts=False` (a polite "wait", which provably did nothing) no attempt is used up. Nor is one when `code` says
    that something outside does not answer (`store_unavailable`, `provider_unavailable`, `hub_unavailable`), unless
    it answers others: see `lifemask.bus.circuit`.
    """

    def __init__(self, code: FailureCode, *, after: timedelta | None = None, counts: bool = True) -> None:
        super().__init__(code.value)
        self.code = code
        self.after = after
        self.counts = counts


class Misconfigured(Exception):
    """Ours to fix: the whole stage pauses and says why. `detail` names the permission or setting, no personal data."""

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(f"{code.value}: {detail}")
        self.code = code
        self.detail = detail


class Unprocessable(Exception):
    """The message can never be handled: it goes to the dead letters at once."""

    def __init__(self, code: FailureCode, detail: str = "") -> None:
        super().__init__(f"{code.value}: {detail}" if detail else code.value)
        self.code = code
        self.detail = detail


OnUnfit = Callable[[str, str, str, bytes], Sequence[Outcome]]
"""Pure: user id, run id, what is wrong with the body (field names and rules, nothing of its content), the body.

Returns outcomes.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a service's table: this message is handled so; `brings="run"` means it hands us the baton."""

    message: type[Event] | type[Reminder]
    handler: Handler
    brings: Literal["run"] | None = None
    unfit: OnUnfit | None = None


def on(
    message: type[Event] | type[Reminder],
    handler: Handler,
    *,
    brings: Literal["run"] | None = None,
    unfit: OnUnfit | None = None,
) -> Route:
    """A row of the HANDLERS table.

    A body that does not fit the message is a dead letter, or with `unfit` what that says of the run it brought.
    """
    return Route(message, handler, brings, unfit)


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Passed to a service's `on_end`, inside the transaction that ends a run at this service.

    `terminal` is the fact that ends it, with the run's ids.
    """

    terminal: Event
    user_id: str
    run_id: str


OnEnd = Callable[[RunEnded], Sequence[Later | Keep]]
"""Pure: what to store when a run ends at this service (attempts to stop, publications to withdraw)."""
