"""Topic `lifemask.notifications`: who was told, and what the operator is to be told."""

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from lifemask.contracts.event import Event, RunEvent, Value
from lifemask.contracts.ids import Digest
from lifemask.contracts.topics import Topic


class NotificationDelivered(RunEvent):
    """A terminal fact was told over one channel, or could not be, and why."""

    ce_type: ClassVar[str] = "lifemask.notification.delivered.v1"
    topic: ClassVar[Topic] = Topic.NOTIFICATIONS

    notification: Digest
    """The one id over all retries: SHA-256 of run, outcome and channel."""
    outcome: str = Field(max_length=64, examples=["lifemask.model.ready.v1"])
    """Type of the event that was told."""
    channel: Literal["email", "webhook"] = Field(examples=["email"])
    """The channel."""
    result: Literal["delivered", "skipped", "gave_up"] = Field(examples=["delivered"])
    """`delivered`: the other side took it. `skipped`: no address is known. `gave_up`: refused for days."""
    tries: int = Field(ge=0, examples=[1])
    """How often it was tried."""


class Refused(Value):
    """Records that were refused for one reason."""

    reason: str = Field(max_length=100, examples=["bad signature"])
    """Why: a fixed set of words."""
    type: str = Field(max_length=100, examples=["lifemask.model.ready"])
    """What they said they were: an event type without version, or `unreadable`."""
    count: int = Field(ge=1, examples=[3])
    """How many."""


class SecurityReported(Event):
    """A service refused records that are not from who they say. Travels under the key `lifemask.operator`.

    One event tells of many records; the next one comes an hour later at the earliest.
    """

    ce_type: ClassVar[str] = "lifemask.security.reported.v1"
    topic: ClassVar[Topic] = Topic.NOTIFICATIONS

    service: str = Field(max_length=64, examples=["publisher"])
    """Who refused them."""
    since: AwareDatetime = Field(examples=["2026-01-02T03:04:05Z"])
    """When the first of them came."""
    refused: tuple[Refused, ...] = Field(min_length=1, max_length=100)
    """How many of what, and why."""
