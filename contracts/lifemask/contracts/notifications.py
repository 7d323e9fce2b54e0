"""Topic `lifemask.notifications`: who was told."""

from typing import ClassVar, Literal

from pydantic import Field

from lifemask.contracts.event import RunEvent
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
