"""Settings of the trainer beside those that all services share. Durations are seconds."""

from datetime import timedelta
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from lifemask.runtime.settings import ServiceSettings
from lifemask.trainer.domain.policy import Pace, Policy

_NAME = r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$"


class TrainerSettings(ServiceSettings):
    """The provider's account, its price, and how often to look. The provider's own variables keep their names."""

    replicate_api_token: SecretStr = Field(validation_alias="REPLICATE_API_TOKEN", min_length=1)
    """A token that may create trainings and models."""
    replicate_base_url: str = Field(
        default="https://api.replicate.com", validation_alias="REPLICATE_BASE_URL", pattern=r"^https?://[^/]+/?$"
    )
    """The provider's API, without `/v1`."""
    replicate_destination: str = Field(pattern=_NAME)
    """`owner/model`: the one private model that all trainings go to, made at the start when it is missing."""
    replicate_hardware: str = "gpu-h100"
    """Hardware of the destination, which making it requires; what FLUX is run on."""
    replicate_trainer: str = Field(default="ostris/flux-dev-lora-trainer", pattern=_NAME)
    """Whose trainer."""
    replicate_trainer_version: str = Field(
        default="e440909d3512c31646ee2e0c7d6f6f4923224863a6a10c494606e79fb5844497", pattern="^[0-9a-f]{64}$"
    )
    """Which version of it: pinned, so that a training is what its statement says."""

    photos_min: int = Field(default=12, ge=1)
    """Photos without which nothing is paid: the product's rule, which ingest, image-validator and packager have
    checked before."""

    price_per_second: Decimal = Field(default=Decimal("0.001525"), ge=0)
    """US dollars: one H100 by the provider's price list."""
    seconds_per_step: Decimal = Field(default=Decimal("0.682"), gt=0)
    """Measured there: 20 images, 1000 steps in 11 min 22 s. For the estimate alone; the bill is the provider's time."""

    provider_timeout: float = Field(default=20, gt=0)
    """Longest ordinary call, the client's own repetitions included."""
    create_timeout: float = Field(default=60, gt=0)
    """Longest wait for the answer to the paid call; after it the outcome is unknown."""
    provider_pages: int = Field(default=1000, ge=1)
    """Most pages of 100 trainings in one listing."""
    clock_skew: float = Field(default=600, ge=0)
    """How far the provider's clock may be off."""
    archive_url_hours: float = Field(default=24, gt=0, le=168)
    """Life of the archive's address: time in the provider's queue and some hours more."""
    archive_urls: Literal["gateway", "presigned"] = "gateway"
    """How the provider fetches the archive. `gateway`: from ingest, which gives out the sealed bytes only and records
    each fetch. `presigned`: straight from an S3 store that the provider can reach. Then nobody sees what is fetched:
    an archive that is exchanged between our last look and the fetch is trained on, the weights statement says 0
    fetches, and the address does not end with the run. Credentials that expire end the address with them."""
    record_looks: int = Field(default=10, ge=0)
    """How often a success is looked at again while no fetch of its archive is on record: 25 minutes in all. After that
    the run fails, because what the training read is unknown."""
    record_looks_failed: int = Field(default=3, ge=0)
    """The same for a failed training: 35 seconds, for telling our own gateway's refusal from the provider's failure."""

    look_first: float = Field(default=2, gt=0)
    """Between the start of a training and the first look at it."""
    look_growth: float = Field(default=1.2, ge=1)
    """Each next look comes so many times later."""
    look_max: float = Field(default=15, gt=0)
    """Between two looks at a running training. Every 15 s, 750 trainings at once stay within the 3000 calls a minute
    that the provider takes; callbacks tell of the end at once."""
    reconcile_first: float = Field(default=5, gt=0)
    """Before the first listing for the training of a lost answer."""
    reconcile_max: float = Field(default=300, gt=0)
    """Between two listings for the training of a lost answer, and two fetches of the weights; doubles each time."""
    repost_after: float = Field(default=600, gt=0)
    """A lost answer is paid for again only after two complete listings without its training, this far apart: what
    the provider accepted is listed long before."""
    paid_attempts: int = Field(default=3, ge=1)
    """Most attempts of a run whose paid call may have been accepted; then an operator is asked."""
    settle_patience: float = Field(default=1800, gt=0)
    """How long a lost answer is looked for before an operator is asked. Below the hour after which the provider
    forgets inputs: later nobody can tell whose a training was."""
    watch_first: float = Field(default=2, gt=0)
    """Before the first watch over a run that is over."""
    watch_max: float = Field(default=1800, gt=0, le=3000)
    """Between two watches over a run that is over; doubles each time. Below the hour after which inputs vanish."""

    weight_bytes: int = Field(default=2 * 10**9, gt=0)
    """Largest weights file: rank 128 makes about 1.4 GB."""
    weight_fetches: int = Field(default=15, ge=1)
    """How often a transfer is tried: with the delays above for 45 minutes; after an hour the output is gone anyway."""
    weight_timeout: float = Field(default=1800, gt=0)
    """Longest transfer."""
    weight_silence: float = Field(default=30, gt=0)
    """Longest silence within it."""

    @model_validator(mode="after")
    def _store_can_presign(self) -> Self:
        if self.archive_urls == "presigned" and not self.objects.startswith("s3://"):
            raise ValueError(
                "LIFEMASK_ARCHIVE_URLS=presigned needs an S3 store: set LIFEMASK_OBJECTS to s3://bucket, "
                "or leave LIFEMASK_ARCHIVE_URLS at gateway"
            )
        return self

    @model_validator(mode="after")
    def _trains_within_the_deadline(self) -> Self:
        if self.archive_url_hours * 3600 < self.deadline_train:
            raise ValueError(
                "LIFEMASK_ARCHIVE_URL_HOURS must not be shorter than LIFEMASK_DEADLINE_TRAIN: "
                "a training that is still allowed to start could not fetch its archive"
            )
        return self

    @property
    def policy(self) -> Policy:
        """The numbers as handlers get them."""
        return Policy(
            trainer=f"{self.replicate_trainer}:{self.replicate_trainer_version}",
            price=self.price_per_second,
            seconds_per_step=self.seconds_per_step,
            url_life=timedelta(hours=self.archive_url_hours),
            skew=timedelta(seconds=self.clock_skew),
            looks=_pace(self.look_first, self.look_growth, self.look_max),
            reconciles=_pace(self.reconcile_first, 2, self.reconcile_max),
            watches=_pace(self.watch_first, 2, self.watch_max),
            apart=timedelta(seconds=self.repost_after),
            patience=timedelta(seconds=self.settle_patience),
            creates=self.paid_attempts,
            copies=self.weight_fetches,
            records=self.record_looks,
            failure_records=self.record_looks_failed,
        )


def _pace(first: float, growth: float, longest: float) -> Pace:
    return Pace(timedelta(seconds=first), growth, timedelta(seconds=longest))
