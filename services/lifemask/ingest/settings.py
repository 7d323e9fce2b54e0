"""Settings of ingest beside those that all services share. Sizes in bytes, durations in seconds."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from lifemask.ingest.acts.office import Limits
from lifemask.runtime.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """The API's limits, its callers, and the provider whose callbacks it checks."""

    apps: Path = Path("./.lifemask/apps.json")
    """JSON file of the apps that may call: per app its key's SHA-256."""
    cors_origins: tuple[str, ...] = ()
    """Origins of browser pages that may call (JSON list); none by default."""
    replicate_api_token: SecretStr = Field(default=SecretStr(""), validation_alias="REPLICATE_API_TOKEN")
    """For asking the provider's webhook secret."""
    replicate_base_url: str = Field(
        default="https://api.replicate.com", validation_alias="REPLICATE_BASE_URL", pattern=r"^https?://[^/]+/?$"
    )
    """The provider's API, without `/v1`."""

    photos_min: int = Field(default=12, ge=1)
    """Usable photos that a run needs."""
    photos_max: int = Field(default=100, ge=1, le=1000)
    """Photos that a run may hold."""
    photo_bytes_min: int = Field(default=10_000, ge=1)
    """Bytes of the smallest file that is taken for a photo."""
    photo_bytes_max: int = Field(default=10_000_000, ge=1)
    """Bytes of the largest photo."""
    upload_bytes_max: int = Field(default=1_100_000_000, ge=1)
    """One upload request: 100 photos of 10 MB, and what surrounds them."""
    json_bytes_max: int = Field(default=65_536, ge=1024)
    """Bytes of the largest request that is no upload."""
    callback_bytes_max: int = Field(default=10_000_000, ge=1024)
    """The provider's success callbacks are large; it gives up on smaller limits."""
    callback_gap: float = Field(default=10, ge=0)
    """Callbacks about the same training within this time make one hint: whoever hears it asks the provider anyway."""
    callbacks_max: int = Field(default=16, ge=1)
    """Callbacks read at once in one process; each holds up to `callback_bytes_max`. The next one waits."""
    app_rate: float = Field(default=500, gt=0)
    """Requests a second that one app may send to one process in the long run; four times as many at once."""
    user_rate: float = Field(default=50, gt=0)
    """Likewise about one of its users."""
    refusal_hold: float = Field(default=0.5, ge=0, le=10)
    """How long a 429, any refusal to somebody without a key, and the answer to a callback that says nothing new are
    held back: a flood over few connections waits for it."""
    open_runs: int = Field(default=50, ge=1)
    """Runs of one user that have not ended, drafts included; the next one is refused until one of them ends."""
    request_timeout: float = Field(default=30, gt=0)
    """Until a request that is no stream is answered with 503."""
    upload_idle: float = Field(default=30, gt=0)
    """Longest silence of a sender in the middle of a body."""
    draft_days: float = Field(default=7, gt=0)
    """Until a draft that nobody submitted is closed."""
    originals_hours: float = Field(default=24, ge=0)
    """How long originals stay after the run's end."""
    evidence_hours: float = Field(default=0, ge=0, le=30 * 24)
    """How long photos, archive and weights of a run stay whose custody is broken, for whoever examines it. They are a
    person's photos: 0, the default, holds none beyond the ordinary time."""
    late_work_minutes: float = Field(default=60, gt=0)
    """After a run's end, until clean photos, archives and weights are deleted again: a worker that was killed or frozen
    may have written some after the first time."""
    incoming_days: float = Field(default=7, gt=0)
    """How long objects of the incoming prefix stay that no run takes over."""
    sealing_retry: float = Field(default=30, gt=0)
    """When a submission that was interrupted is finished by itself."""
    sealing_deadline: float = Field(default=3600, gt=0)
    """When a submitted run whose upload could not be sealed has failed."""
    link_minutes: float = Field(default=60, gt=0)
    """Life of a link to weights."""
    target_minutes: float = Field(default=15, gt=0)
    """Life of a target for one file, put straight into the store."""
    stream_poll: float = Field(default=0.25, gt=0)
    """How often a live stream looks for changes."""
    stream_heartbeat: float = Field(default=15, gt=0)
    """Silence after which a live stream writes a comment."""
    streams_max: int = Field(default=500, ge=1)
    """Live streams at once in one process."""
    user_streams: int = Field(default=50, ge=1)
    """Those of one user among them."""
    uploads_max: int = Field(default=64, ge=1)
    """Upload requests at once in one process; each holds about 3 MB."""
    user_uploads: int = Field(default=8, ge=1)
    """Those of one user among them."""
    upload_rate: float = Field(default=10_000, gt=0)
    """Bytes a second that a sender must keep up in the long run, so that none holds a place with a drip."""
    user_upload_rate: float = Field(default=10_000_000, ge=100_000)
    """Bytes a second that are taken of one user in the long run, twice as many at once: 80 Mbit/s, more than most
    people's lines. What comes faster waits with its sender, so that a huge run slows nobody else."""

    takeover_at_once: int = Field(default=4, ge=1, le=64)
    """Objects of one announced upload under way at once."""

    archives_max: int = Field(default=64, ge=1)
    """Archives under way to the training provider at once in one process; each holds about 4 MB. The next one waits."""
    archive_idle: float = Field(default=60, gt=0)
    """Longest time for which whoever fetches an archive may take nothing of it."""

    url_door_allow: tuple[str, ...] = ()
    """Hosts (`name:port`, JSON list) that photos may be fetched from wherever they are, also by http: for tests."""
    fetch_at_once: int = Field(default=4, ge=1, le=64)
    """URLs of one request under way at once."""
    fetch_seconds: float = Field(default=60, gt=0)
    """Longest time for one file of a URL."""

    @property
    def limits(self) -> Limits:
        """The limits as the acts use them."""
        return Limits(
            photos_min=self.photos_min,
            photos_max=self.photos_max,
            photo_bytes_min=self.photo_bytes_min,
            photo_bytes_max=self.photo_bytes_max,
            upload_bytes_max=self.upload_bytes_max,
            json_bytes_max=self.json_bytes_max,
            callback_bytes_max=self.callback_bytes_max,
            callback_gap=timedelta(seconds=self.callback_gap),
            callbacks_max=self.callbacks_max,
            request_timeout=timedelta(seconds=self.request_timeout),
            upload_idle=timedelta(seconds=self.upload_idle),
            originals_kept=timedelta(hours=self.originals_hours),
            draft_life=timedelta(days=self.draft_days),
            sealing_retry=timedelta(seconds=self.sealing_retry),
            sealing_deadline=timedelta(seconds=self.sealing_deadline),
            target_life=timedelta(minutes=self.target_minutes),
            link_life=timedelta(minutes=self.link_minutes),
            stream_poll=timedelta(seconds=self.stream_poll),
            stream_heartbeat=timedelta(seconds=self.stream_heartbeat),
            app_rate=self.app_rate,
            user_rate=self.user_rate,
            refusal_hold=timedelta(seconds=self.refusal_hold),
            open_runs=self.open_runs,
            streams_max=self.streams_max,
            user_streams=self.user_streams,
            uploads_max=self.uploads_max,
            user_uploads=self.user_uploads,
            upload_rate=self.upload_rate,
            user_upload_rate=self.user_upload_rate,
            fetch_at_once=self.fetch_at_once,
            takeover_at_once=self.takeover_at_once,
            archives_max=self.archives_max,
            archive_idle=timedelta(seconds=self.archive_idle),
        )

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        if self.photos_min > self.photos_max:
            raise ValueError("LIFEMASK_PHOTOS_MIN is larger than LIFEMASK_PHOTOS_MAX: no run could begin")
        if self.refusal_hold >= self.request_timeout:
            raise ValueError("LIFEMASK_REFUSAL_HOLD must be less than LIFEMASK_REQUEST_TIMEOUT")
        if self.photo_bytes_min > self.photo_bytes_max:
            raise ValueError("LIFEMASK_PHOTO_BYTES_MIN is larger than LIFEMASK_PHOTO_BYTES_MAX: no photo would fit")
        return self
