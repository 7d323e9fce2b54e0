"""What the trainer needs of the world, in its own words.

All ports raise Retryable when the other side is away or busy and Misconfigured when it refuses us, unless they say
otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lifemask.contracts import DatasetSealed, Digest, Failure
from lifemask.trainer.domain.attempt import ArchiveAddress, Attempt, AttemptId
from lifemask.trainer.domain.training import Listing, Reply, Training
from lifemask.trainer.domain.weights import Copied


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset whose chain holds and whose archive was hashed again. `trigger_word` is the one the person sealed.

    `archive_sha256` and `archive_bytes` are what the dataset statement says of the archive.
    """

    statement: Digest
    archive_key: str
    archive_sha256: Digest
    archive_bytes: int
    trigger_word: str


@dataclass(frozen=True, slots=True)
class Order:
    """What the provider is told. `trainer` is `owner/name:version`; `webhook` an address for its callback, if any."""

    trainer: str
    archive_url: str
    trigger_word: str
    steps: int
    rank: int
    learning_rate: str
    webhook: str | None


class Attempts(Protocol):
    """The rows. They are changed by the values that handlers return."""

    async def of_run(self, user_id: str, run_id: str) -> Sequence[Attempt]:
        """All attempts of a run, by number."""


class Chain(Protocol):
    """The run's chain of custody."""

    async def prove(self, event: DatasetSealed, seen: datetime) -> Dataset | Failure:
        """Verifies every statement down to the upload and hashes the archive's bytes again; `seen` is when the event
        came. Its parameters must be those that the person sealed with the upload, its counts those of the statement.
        """

    async def has_training(self, attempt: AttemptId) -> bool:
        """Whether a training of this number was sealed already. It stays so whatever becomes of our rows."""

    async def seal_training(self, attempt: Attempt, dataset: Dataset, at: datetime) -> Digest | Failure:
        """Seals what will be asked of the provider, before it is asked. The same again gives the same digest."""

    async def seal_weights(
        self, attempt: Attempt, training: Training, copied: Copied, at: datetime, *, seen: datetime
    ) -> Digest | Failure:
        """Seals the weights that were copied out, and whether the provider's captions bore our names.

        `at` is the same whatever message brings the news; `seen` is when this one came.
        """


class Trainings(Protocol):
    """The provider's trainings."""

    async def prepare(self) -> None:
        """Makes the destination of all trainings when it is not there; does nothing when called again."""

    async def create(self, order: Order) -> Reply:
        """THE paid call: sent at most once, never repeated in here. Raises nothing: every outcome is a reply."""

    async def get(self, training: str) -> Training | None:
        """The training as it is now; None when the provider knows none of this id."""

    async def find(self, archive_path: str, since: datetime) -> Listing:
        """All trainings created after `since` whose archive URL has exactly this path."""

    async def cancel(self, training: str) -> Training | None:
        """Ends a training; one that is over stays as it is. Returns it as `get` does."""

    async def delete_version(self, version: str) -> None:
        """Deletes what a training left at the provider, with its files; one that is not there is fine.

        `version` is `owner/name:id`. A refusal raises Retryable: it concerns this version alone.
        """


class Weights(Protocol):
    """What a training leaves at the provider, and our copy of it."""

    async def copy_out(self, url: str | None, attempt: AttemptId) -> Copied | Failure:
        """Streams the one weights file into our store, checked on the way; nothing is stored when it is unfit.

        Raises Retryable(PROVIDER_UNAVAILABLE) when the transfer broke off.
        """


class Addresses(Protocol):
    """Expiring addresses at which the provider reaches us."""

    async def archive(self, attempt: AttemptId, dataset: Dataset, expires_at: datetime) -> ArchiveAddress:
        """Where the archive is fetched: as it was sealed, and nothing else."""

    def leads_to(self, path: str, attempt: AttemptId, *, gateway: bool) -> bool:
        """Whether the path of an archive's address is one of this attempt's own archive.

        A path without a token of ours is so only for an attempt that was not planned through the `gateway`.
        """

    def callback(self, attempt: AttemptId, expires_at: datetime) -> str | None:
        """Where an attempt's callback goes; None when our address is one the provider will not call."""
