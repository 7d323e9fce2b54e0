"""What publishing needs of the world."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from lifemask.contracts import Digest, Failure, ModelId, RunId, TrainingSucceeded, UserId
from lifemask.publisher.domain import Known, Publication, Revocation, Sealed, SignedFile, Trained

Check = Callable[[], Awaitable[None]]
"""Raises when the lane or the run is no longer ours; asked before each write that may happen more than once."""


class Chain(Protocol):
    """The custody statements of a run. Retryable and Misconfigured of the store pass through."""

    async def trained(self, event: TrainingSucceeded, seen: datetime) -> Trained | Failure:
        """Verifies the whole chain behind the event's statement; `seen` is when the event came. Failure when a link
        does not hold.
        """

    async def seal(self, publication: Publication, trained: Trained, at: datetime) -> Sealed | Failure:
        """Seals that the weights were read back where `publication` says; repeating it gives the same statement.
        Failure when another publication of this training was sealed before.
        """

    async def seal_revocation(self, publication: Publication, revocation: Revocation, at: datetime) -> None:
        """Seals that the model was taken back, why and by whom; repeating it with the same `at` changes nothing."""


class ModelStore(Protocol):
    """The versions of models in the object store. Raises Retryable when it is away, Misconfigured when it refuses."""

    def key_of(self, publication: Publication) -> str:
        """Key of the published weights, as subscribers are told it."""

    async def copy_weights(self, publication: Publication, trained: Trained) -> Failure | None:
        """Copies the run's weights into the publication's place, hashing on the way; nothing is visible there when
        they are missing or are not the trained ones, which is the Failure returned.
        """

    async def put_metadata(self, publication: Publication, document: bytes) -> None:
        """Writes metadata.json beside the weights."""

    async def read_back(self, publication: Publication) -> Digest | None:
        """SHA-256 of the weights as they lie there now, None when there are none."""

    async def remove(self, user_id: UserId, model_id: ModelId, *, but: str | None = None) -> None:
        """Deletes every version of the model except the place `but`; what is not there is fine."""


class Hub(Protocol):
    """Private model repositories on the hub.

    Raises Retryable when the hub is away or asks us to wait, Misconfigured when it refuses our access. A Failure is
    returned for what the hub calls invalid, which no repetition mends.
    """

    async def create(self, repo: str) -> Failure | None:
        """Makes the private repository; one that exists is fine."""

    async def commit(self, publication: Publication, trained: Trained, check: Check) -> str | Failure:
        """Puts card, weights and the chain's statements on top of the repository's head, in one commit; returns the
        commit that holds them.

        Repeating it makes no second commit. When the head moves meanwhile it looks again; `check` is asked before
        each try.
        """

    async def attach(self, publication: Publication, file: SignedFile, check: Check) -> Failure | None:
        """Puts the statement about the publication beside the others: in a commit of its own, because it names the
        commit before it. Repeating it makes no other commit; `check` as for `commit`.
        """

    async def read_back(self, publication: Publication, size: int) -> Digest | None:
        """SHA-256 of the weights' bytes that the hub gives out of the publication's commit, None when there are none.

        Of a file larger than `size` bytes the digest is another one.
        """

    async def remove(self, repo: str) -> None:
        """Deletes the repository; one that is not there is fine."""


class Publications(Protocol):
    """The publications' rows."""

    async def find(self, user_id: UserId, run_id: RunId) -> Known | None:
        """The run's publication, or None when none was intended."""
