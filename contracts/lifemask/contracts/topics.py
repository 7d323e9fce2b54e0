"""The topics, in one table. A different environment is a prefix; nothing else about a name is configurable."""

from enum import StrEnum
from typing import Final


class Topic(StrEnum):
    """Where events of one subject are published, keyed by user id. All topics keep everything: they are the audit."""

    UPLOADS = "lifemask.uploads"
    PHOTOS = "lifemask.photos"
    RUNS = "lifemask.runs"
    DATASETS = "lifemask.datasets"
    TRAININGS = "lifemask.trainings"
    MODELS = "lifemask.models"
    USERS = "lifemask.users"
    NOTIFICATIONS = "lifemask.notifications"
    DEAD_LETTERS = "lifemask.dead-letters"

    def named(self, prefix: str = "") -> str:
        """The topic's name on the broker in the environment `prefix` (for example "staging.")."""
        return f"{prefix}{self.value}"


PROBES: Final = "lifemask.probes"
"""After the environment's prefix: no topic of facts, but where services try whether they can produce and consume. One
partition, kept for an hour."""

PARTITIONS: Final = 64
"""Partitions per topic in production. Adding some later would move users to other partitions."""
