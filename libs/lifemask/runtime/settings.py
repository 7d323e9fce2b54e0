"""Settings that every service shares. Read from the environment here, and nowhere else but in a service's settings.

What a library already reads from the environment keeps its own name; ours start with `LIFEMASK_`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lifemask.contracts import Stage
from lifemask.objects.port import StoreLimits

HOURS_BY_STAGE = {Stage.REQUEST: 6, Stage.VALIDATE: 1, Stage.PACKAGE: 1, Stage.TRAIN: 12, Stage.PUBLISH: 6}
"""How long a run may stay in a stage (hours) before it is ended as failed."""


class StoreSettings(BaseSettings):
    """How long, how often and over how many connections an S3 store is asked; of services and operators' commands."""

    model_config = SettingsConfigDict(env_prefix="LIFEMASK_", frozen=True, extra="ignore", populate_by_name=True)

    store_connect_timeout: float = Field(default=5, gt=0)
    """Longest time for a connection to an S3 store."""
    store_timeout: float = Field(default=30, gt=0)
    """Longest silence of an S3 store in the middle of an answer."""
    store_request_timeout: float = Field(default=60, gt=0)
    """Longest time for a request and the head of its answer; what has a body gets a second more for each 20 kB."""
    store_tries: int = Field(default=3, ge=1)
    """Tries of one request; the attempts at a message come on top."""
    store_connections: int = Field(default=250, ge=1)
    """At once in one process; more than what may wait for a store at once."""

    @property
    def store_limits(self) -> StoreLimits:
        """For the client of an S3 store."""
        return StoreLimits(
            connect_timeout=self.store_connect_timeout,
            read_timeout=self.store_timeout,
            request_timeout=self.store_request_timeout,
            tries=self.store_tries,
            connections=self.store_connections,
        )


class ServiceSettings(StoreSettings):
    """Kafka, PostgreSQL, objects, and the limits of the bus. Durations are seconds unless the name says otherwise."""

    kafka: str = "127.0.0.1:9092"
    """Brokers, comma-separated `host:port`."""
    postgres: str = "postgresql://127.0.0.1:5432/lifemask"
    """DSN of this service's role."""
    objects: str = Field(default_factory=lambda: Path(".lifemask/objects").resolve().as_uri())
    """`file:///directory` (absolute) or `s3://bucket`."""
    keys: Path = Path("./.lifemask/keys")
    """Directory with this installation's keys."""
    keyring_root: str = Field(default="", pattern=r"^(SHA256:[A-Za-z0-9+/]{43})?$")
    """Fingerprint of the root that signs the keyring; empty takes the one in the directory of keys."""
    security_window: float = Field(default=3600, gt=0)
    """Refused records are reported together, once in this time."""
    security_entries: int = Field(default=1000, ge=1)
    """Refused records kept one by one in this time; more are counted only, so that a flood fills no disk."""
    security_retention_days: int = Field(default=90, ge=0)
    """How long refused records stay after they were reported; 0 keeps them for ever."""
    topic_prefix: str = Field(default="", pattern=r"^([A-Za-z0-9_-]+\.)?$")
    """The environment's prefix of every topic, for example `staging.`."""
    host: str = "127.0.0.1"
    """Where the service listens for health checks (ingest: for the API)."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port of the same; 0 takes a free one."""
    connections: int = Field(default=800, ge=1)
    """HTTP connections at once; more than the process may have files open makes it deaf (`ulimit -n`, often 1024)."""
    head_timeout: float = Field(default=10, gt=0)
    """How long a connection may take for the head of a request."""
    public_url: str = "http://127.0.0.1:8080"
    """Base of callback and object URLs as the provider sees them."""
    broker_id: str = ""
    """Identity of an embedded broker, which is empty at every start; unset with a real Kafka."""
    watch_fd: int | None = None
    """Read end of a pipe held open by a parent: the service ends when the parent does."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Least weight of the lines that are written."""

    deadline_request: float = Field(default=HOURS_BY_STAGE[Stage.REQUEST] * 3600, ge=0)
    """For uploads that came as events; a draft of the API ends by its own rule."""
    deadline_validate: float = Field(default=HOURS_BY_STAGE[Stage.VALIDATE] * 3600, gt=0)
    """How long judging the photos of a run may take before the run is ended as failed."""
    deadline_package: float = Field(default=HOURS_BY_STAGE[Stage.PACKAGE] * 3600, gt=0)
    """The same for packing them."""
    deadline_train: float = Field(default=HOURS_BY_STAGE[Stage.TRAIN] * 3600, gt=0)
    """The same for the training, the time in the provider's queue included."""
    deadline_publish: float = Field(default=HOURS_BY_STAGE[Stage.PUBLISH] * 3600, gt=0)
    """The same for publishing."""

    lease: float = Field(default=30, gt=0)
    """How long a worker may be silent before its lane is given to another; renewed every third of it."""
    max_attempts: int = Field(default=8, ge=1)
    """Failed attempts at one message before it becomes a dead letter."""
    max_claims: int = Field(default=20, ge=1)
    """Claims of one message, crashes included, before it becomes a dead letter."""
    lanes: int = Field(default=16, ge=1)
    """Lanes worked on at once in one process."""
    burst: int = Field(default=8, ge=1)
    """Messages of one lane in one turn, before others get theirs; more holds a lane too long when slow."""
    backoff: float = Field(default=1, gt=0)
    """First delay after a failed attempt; doubles each time, with jitter."""
    backoff_max: float = Field(default=300, gt=0)
    """Longest delay after a failed attempt."""
    pause: float = Field(default=5, gt=0)
    """First delay before a paused stage, or a dependency that is away, is tried again; doubles each time."""
    pause_max: float = Field(default=300, gt=0)
    """Longest such delay."""
    circuit_after: int = Field(default=3, ge=1)
    """Failures in a row of something outside after which no further message is tried on it but for probes."""
    poll: float = Field(default=0.25, gt=0)
    """How often the loops look without being notified (a notification is only a hint)."""
    watchdog: float = Field(default=30, gt=0)
    """Longest silence of the Kafka consumer or of a loop before the process ends itself."""
    checkup_after: float = Field(default=2, ge=0)
    """When, after the start, each call to the outside is tried once; beside the work, and never in its way."""
    stop_grace: float = Field(default=4, ge=0)
    """How long handlers at work may go on when the process is asked to stop; at most half a lease."""
    outbox_retention_days: int = Field(default=7, ge=0)
    """How long sent events stay in the outbox; 0 keeps them for ever (embedded broker)."""
    inbox_retention_days: int = Field(default=7, ge=0)
    """How long done messages stay in the inbox for deduplication; 0 keeps them for ever (embedded broker)."""
    kafka_session_timeout_ms: int = Field(default=10_000, ge=1000)
    """A real Kafka refuses less than 6000; the embedded broker takes 2000."""
    kafka_request_timeout_ms: int = Field(default=20_000, ge=1000)
    """Longest silence of a broker; longer than the session timeout, which a group may wait for while it gathers."""
    kafka_heartbeat_ms: int = Field(default=3000, ge=100)
    """How often the consumer tells the broker that it is there; at most a third of the session timeout."""
    kafka_fetch_wait_ms: int = Field(default=100, ge=1)
    """How long a broker may wait for records before it answers."""
    kafka_batch: int = Field(default=500, ge=1)
    """Records stored by one statement of the intake."""
    pool: int = Field(default=10, ge=3)
    """Database connections of one process, beside the relay's own."""

    @model_validator(mode="after")
    def _brokers_may_gather(self) -> Self:
        if self.kafka_request_timeout_ms <= self.kafka_session_timeout_ms:
            raise ValueError(
                "LIFEMASK_KAFKA_REQUEST_TIMEOUT_MS must be more than LIFEMASK_KAFKA_SESSION_TIMEOUT_MS: "
                "a group may wait that long for a member that is gone"
            )
        return self

    @property
    def brokers(self) -> list[str]:
        """The brokers as a list."""
        return [broker.strip() for broker in self.kafka.split(",") if broker.strip()]

    def deadline(self, stage: Stage) -> timedelta | None:
        """How long a run may stay in `stage`; None for a stage that ends by its own rule."""
        seconds: float = getattr(self, f"deadline_{stage.value}", 0)
        return timedelta(seconds=seconds) if seconds else None
