"""What every act may use: the ports, the limits, and the desk where outcomes are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from lifemask.bus.outcomes import Outcome
from lifemask.ingest.ports import (
    Apps,
    Archives,
    CallbackSecrets,
    Clock,
    Custody,
    Incoming,
    Links,
    Names,
    Originals,
    Papers,
    Runs,
    Targets,
    Web,
)
from lifemask.ingest.receiving import Receiver


class Desk(Protocol):
    """Where a call of the API stores what it decided."""

    async def commit(
        self, user_id: str, outcomes: Sequence[Outcome], *, cause: str, run_id: str | None = None, takes: bool = False
    ) -> bool:
        """Rows, reminders and events in one transaction; `cause` names the act, and the same act stores nothing twice.

        `takes`: the run begins here. False, and nothing is stored, when an event needs the run to be here and it is
        not. Whatever the row writer refuses (domain.rows.Refused) undoes everything and is raised.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a caller may do. Sizes in bytes."""

    photos_min: int = 12
    photos_max: int = 100
    photo_bytes_min: int = 10_000
    photo_bytes_max: int = 10_000_000
    upload_bytes_max: int = 1_100_000_000
    json_bytes_max: int = 65_536
    callback_bytes_max: int = 10_000_000
    callback_gap: timedelta = timedelta(seconds=10)
    callbacks_max: int = 16
    request_timeout: timedelta = timedelta(seconds=30)
    upload_idle: timedelta = timedelta(seconds=30)
    draft_life: timedelta = timedelta(days=7)
    sealing_retry: timedelta = timedelta(seconds=30)
    sealing_deadline: timedelta = timedelta(hours=1)
    originals_kept: timedelta = timedelta(hours=24)
    link_life: timedelta = timedelta(hours=1)
    target_life: timedelta = timedelta(minutes=15)
    stream_poll: timedelta = timedelta(milliseconds=250)
    stream_heartbeat: timedelta = timedelta(seconds=15)
    app_rate: float = 500
    user_rate: float = 50
    refusal_hold: timedelta = timedelta(seconds=0.5)
    open_runs: int = 50
    streams_max: int = 500
    user_streams: int = 50
    uploads_max: int = 64
    user_uploads: int = 8
    upload_rate: float = 10_000
    user_upload_rate: float = 10_000_000
    takeover_at_once: int = 4
    fetch_at_once: int = 4
    archives_max: int = 64
    archive_idle: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Office:
    """Everything behind the API."""

    desk: Desk
    runs: Runs
    originals: Originals
    incoming: Incoming
    targets: Targets
    web: Web
    names: Names
    papers: Papers
    custody: Custody
    links: Links
    archives: Archives
    secrets: CallbackSecrets
    apps: Apps
    clock: Clock
    limits: Limits

    @property
    def receiver(self) -> Receiver:
        """Writes originals within the limits."""
        return Receiver(self.originals, self.custody, self.limits.photo_bytes_min, self.limits.photo_bytes_max)
