"""What telling needs of the world."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from lifemask.contracts import Digest, RunId, SecurityReported, UserId
from lifemask.notifier.domain import Delivery, Notification, StoppedRun, Target
from lifemask.notifier.letter import Called, Letter


class Notifications(Protocol):
    """The notifications' rows, which are never purged."""

    async def find(self, user_id: UserId, notification: Digest) -> Notification | None:
        """The notification of that id."""

    async def is_over(self, user_id: UserId, run_id: RunId) -> bool:
        """Whether a terminal fact of the run was or is being told: news of a delay would come too late."""


class Reports(Protocol):
    """What the operator is to be told."""

    async def waiting(self, user_id: UserId) -> Sequence[SecurityReported]:
        """Those that were not mailed yet, oldest first."""

    async def stopped(self, since: datetime) -> Sequence[StoppedRun]:
        """The first hundred runs of all users whose custody was found broken since then and which are reported."""

    async def mailed_at(self, user_id: UserId) -> datetime | None:
        """When the last mail went."""


class People(Protocol):
    """What a person told us. Raises Retryable when the store is away, Misconfigured when it refuses us."""

    async def address(self, user_id: UserId) -> str | None:
        """The person's e-mail address, None when none is known."""

    async def called(self, user_id: UserId, run_id: RunId) -> Called:
        """How the person calls the model, as far as it is still known."""


class Mail(Protocol):
    """The way to a mailbox."""

    def wait(self) -> timedelta | None:
        """How long to leave the mail server alone; None to call it now."""

    async def send(self, address: str, letter: Letter, notification: Digest) -> Delivery:
        """Hands the letter in once, under a message id made of the notification's."""


class Webhooks(Protocol):
    """The way to the apps."""

    def target(self, user_id: UserId) -> Target | None:
        """The webhook of the user's app, None when it has none."""

    def wait(self, target: Target) -> timedelta | None:
        """How long to leave the target alone, because it is silent or busy with us; None to call it now."""

    async def call(self, target: Target, notification: Digest, body: str) -> Delivery:
        """Calls once, signed, under the notification's id. Any answer but a 2xx is a failure; 410 one for good."""
