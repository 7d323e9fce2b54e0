"""Topic `lifemask.users`: a person leaves."""

from typing import ClassVar

from lifemask.contracts.event import Event
from lifemask.contracts.ids import Digest
from lifemask.contracts.topics import Topic


class UserErasureRequested(Event):
    """Everything of this user is to be removed."""

    ce_type: ClassVar[str] = "lifemask.user.erasure-requested.v1"
    topic: ClassVar[Topic] = Topic.USERS


class UserErased(Event):
    """Everything of this user was removed; a receipt stays."""

    ce_type: ClassVar[str] = "lifemask.user.erased.v1"
    topic: ClassVar[Topic] = Topic.USERS

    receipt: Digest
    """SHA-256 of the receipt of the erasure."""
