"""Who is told what over which channel, and when to try again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Final

from lifemask.contracts import (
    Digest,
    FailureCode,
    ModelReady,
    ModelRevoked,
    RunCanceled,
    RunEvent,
    RunFailed,
    RunId,
    RunRejected,
    RunStalled,
    SecurityReported,
    UserId,
)

Fact = ModelReady | ModelRevoked | RunRejected | RunFailed | RunCanceled | RunStalled


CUSTODY: Final = "custody broken"
"""Why the operator is told of a run, in the table `security`."""
_OF_CUSTODY: Final = frozenset({FailureCode.CUSTODY_BROKEN, FailureCode.PUBLICATION_DIFFERS})


class Channel(StrEnum):
    """How somebody is told."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class State(StrEnum):
    """Of a notification; only `pending` is ever left."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    GAVE_UP = "gave_up"


class Why(StrEnum):
    """Why somebody was not told."""

    REFUSED = "refused"
    """For good: the webhook answered 410, or the mailbox is not there."""
    TOO_LONG = "too_long"
    """No try got through for as long as it is tried."""
    NO_ADDRESS = "no_address"
    NO_WEBHOOK = "no_webhook"
    RUN_OVER = "run_over"
    """News of a delay, and the run had ended."""


class Delivery(Enum):
    """What one try came to."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """For good: no repetition helps."""
    FAILED = "failed"
    """This time."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One fact over one channel, under one id for all tries. `since`: when the fact reached us."""

    id: Digest
    channel: Channel
    fact: Fact
    since: datetime
    tries: int = 0
    state: State = State.PENDING
    resent_at: datetime | None = None
    """When an operator had it sent again: the days of tries begin anew."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Row: to be told. Has no effect when the same was to be told before."""

    notification: Notification


@dataclass(frozen=True, slots=True)
class Tried:
    """Row: try number `tries` failed."""

    user_id: UserId
    id: Digest
    tries: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Row: told, or never to be told, and `why`."""

    user_id: UserId
    id: Digest
    tries: int
    state: State
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class Reopened:
    """Row: a settled one is to be told again, under the same id."""

    user_id: UserId
    id: Digest


@dataclass(frozen=True, slots=True)
class Answered:
    """Row: what became of an operator's order."""

    order: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Reported:
    """Row: a service refused records, which the operator is to be told."""

    report: SecurityReported
    got_at: datetime


@dataclass(frozen=True, slots=True)
class Stopped:
    """Row: a run ended because its custody is broken, which the operator is to be told."""

    fact: RunFailed


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """Such a run as the operator is told of it."""

    user_id: UserId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class Mailed:
    """Row: these reports need no mail any more."""

    user_id: UserId
    ids: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """Who is told of broken custody and of attacks, None for nobody. One mail in `window`, the first after `gather`, so
    that the reports of all services are in it.
    """

    address: str | None = None
    window: timedelta = timedelta(hours=1)
    gather: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The first delay, by how much each next one is longer, the longest, and after how long to give up."""

    first: timedelta = timedelta(seconds=5)
    factor: float = 3
    longest: timedelta = timedelta(hours=8)
    patience: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed in. `tls`: from the first byte. `starttls`: refuse to go on without it."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False
    starttls: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """An app's webhook: URL, and the secret as Standard Webhooks writes it (`whsec_…`)."""

    url: str
    secret: str


def of(fact: Fact, channel: Channel, since: datetime) -> Notification:
    """The notification of a fact over a channel."""
    return Notification(notification_id(fact, channel), channel, fact, since)


def stopped(fact: Fact) -> Sequence[Stopped]:
    """What needs somebody's eyes here: photos, statements or weights were not what was sealed."""
    return [Stopped(fact)] if isinstance(fact, RunFailed) and fact.failure.code in _OF_CUSTODY else []


def notification_id(fact: Fact, channel: Channel) -> Digest:
    """The one id over all retries and replays: SHA-256 of run, outcome and channel.

    A run that stalls again in the same stage is still delayed there: that is told once.
    """
    outcome = f"{fact.ce_type}:{fact.stage}" if isinstance(fact, RunStalled) else fact.ce_type
    return hashlib.sha256(f"{fact.user_id}\n{fact.run_id}\n{outcome}\n{channel}".encode()).hexdigest()


def report_id(report: SecurityReported) -> Digest:
    """The id of a report: a digest of all it says."""
    return hashlib.sha256(report.body()).hexdigest()


def wait_for_mail(operator: Operator, mailed_at: datetime | None, now: datetime) -> timedelta:
    """How long until the next mail to the operator may go."""
    if mailed_at is None or mailed_at + operator.window <= now:
        return timedelta(0)
    return mailed_at + operator.window - now


def delay(notification: Digest, tries: int, schedule: Schedule) -> timedelta:
    """How long to wait after failed try number `tries` (from 1).

    Grows from `first` to `longest`; up to a quarter shorter by chance, so that many who failed at once do not come
    again at once. The chance is a digest of id and number: the same at every redelivery.
    """
    exponent = min(tries - 1, 64)  # beyond, the number has no float; the longest delay is long reached
    seconds = min(schedule.first.total_seconds() * schedule.factor**exponent, schedule.longest.total_seconds())
    chance = int.from_bytes(hashlib.sha256(f"{notification}:{tries}".encode()).digest()[:8], "big") / 2**64
    return timedelta(seconds=seconds * (1 - chance / 4))


def wait_before_next(notification: Notification, now: datetime, schedule: Schedule) -> timedelta | None:
    """The delay before the try after the next failed one; None when that would be too late to be of use."""
    wait = delay(notification.id, notification.tries + 1, schedule)
    return wait if is_in_time(notification, now + wait, schedule) else None


def is_in_time(notification: Notification, at: datetime, schedule: Schedule) -> bool:
    """Whether a try at that time is still of use."""
    return at - (notification.resent_at or notification.since) <= schedule.patience


def webhook_body(notification: Notification) -> str:
    """`{type, timestamp, data}` as Standard Webhooks has it; the same text at every try."""
    fact: RunEvent = notification.fact
    return json.dumps(
        {
            "type": fact.ce_type,
            "timestamp": notification.since.isoformat(timespec="milliseconds"),
            "data": fact.model_dump(mode="json", exclude_none=True),
        },
        separators=(",", ":"),
    )
