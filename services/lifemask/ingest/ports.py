"""What ingest asks of the outside, in the domain's words.

Whatever asks the object store raises the bus's own exceptions: Retryable when it is away, Misconfigured when it
refuses us. Sizes are bytes, times carry a zone.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from lifemask.contracts import Failure
from lifemask.ingest.domain.archives import Sealed
from lifemask.ingest.domain.changes import Change
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.runs import Counts, Run, SealedPhoto, Sealing
from lifemask.ingest.domain.targets import Slot


@dataclass(frozen=True, slots=True)
class Model:
    """A published model as ingest keeps it."""

    id: str
    run_id: str
    version: str
    store_key: str
    weights: str
    bytes: int
    hub_repo: str | None
    ready_at: datetime
    revoked: str | None = None


class Runs(Protocol):
    """Reads one user's runs; None and empty where there is nothing of this user."""

    async def run(self, user_id: str, run_id: str) -> Run | None:
        """One run."""

    async def counted(self, user_id: str, run_id: str) -> tuple[Run, Counts] | None:
        """One run with the numbers of its photos, of one moment."""

    async def page(self, user_id: str, before: str | None, limit: int) -> Sequence[tuple[Run, Counts]]:
        """Runs, newest first, older than the run `before`."""

    async def photos(self, user_id: str, run_id: str) -> Sequence[Photo]:
        """The run's photos in order of arrival, without those taken out."""

    async def changes(self, user_id: str, run_id: str, after: int, limit: int) -> Sequence[Change]:
        """Visible changes with a number above `after`, in order."""

    async def models(self, user_id: str, before: str | None, limit: int) -> Sequence[Model]:
        """Models, newest first, older than the model `before`."""

    async def model(self, user_id: str, model_id: str) -> Model | None:
        """One model."""

    async def is_active(self, user_id: str) -> bool:
        """Whether a submitted run of the user is not over yet."""

    async def open_runs(self, user_id: str) -> int:
        """How many runs of the user have not ended, drafts included."""

    async def open_slots(self, user_id: str, run_id: str) -> Sequence[Slot]:
        """Targets of a draft whose files were not taken over yet; of any other run none."""

    async def taker(self, user_id: str, upload: str) -> str | None:
        """The run that takes, or took, an upload over."""

    async def is_copied(self, user_id: str, run_id: str) -> bool:
        """Whether originals of the run are still to be copied into one that was made from it.

        False also means that from now on none can be made, if the time for it is over.
        """

    async def keyed(self, user_id: str, key: str) -> tuple[str, str] | None:
        """Run id and request digest that an idempotency key was used for."""


class PhotoSink(Protocol):
    """A photo on its way into the store."""

    async def write(self, chunk: bytes) -> None:
        """Appends; waits while the store is slower than the caller."""


class OriginalMissing(LookupError):
    """The photo is not, or no longer, in the store."""


class Originals(Protocol):
    """Photos as they were uploaded, under the user's prefix."""

    def receiving(self, user_id: str, run_id: str, photo_id: str) -> AbstractAsyncContextManager[PhotoSink]:
        """Streams a photo in; an error inside the block leaves nothing behind."""

    def read(self, user_id: str, run_id: str, photo_id: str) -> AsyncIterator[bytes]:
        """Streams a photo. Raises OriginalMissing."""

    async def remove(self, user_id: str, run_id: str, photo_id: str) -> None:
        """Deletes a photo; one that is not there is fine."""

    async def keep_only(self, user_id: str, run_id: str, photo_ids: Collection[str]) -> None:
        """Deletes what a process that ended in the middle of an upload left in the run's folder."""


class IncomingMissing(LookupError):
    """The app's object is not, or no longer, in its incoming prefix."""


class Incoming(Protocol):
    """What apps put into their incoming prefixes; `upload` is the app's name of one upload of a user."""

    async def size(self, user_id: str, upload: str, name: str) -> int | None:
        """Bytes of an object; None when there is none."""

    def read(self, user_id: str, upload: str, name: str) -> AsyncIterator[bytes]:
        """Streams an object. Raises IncomingMissing."""

    async def remove(self, user_id: str, upload: str, name: str) -> None:
        """Deletes an object; one that is not there is fine."""


class Names(Protocol):
    """The person's own file names, kept beside the photos and nowhere else."""

    async def add(self, user_id: str, run_id: str, names: Mapping[str, str]) -> None:
        """Adds names by photo id; safe beside other additions to the same run."""

    async def forget(self, user_id: str, run_id: str, photo_id: str) -> None:
        """Takes one photo's name out; one that is not there is fine."""

    async def read(self, user_id: str, run_id: str) -> Mapping[str, str]:
        """Names by photo id; empty when there are none (any more)."""


class Papers(Protocol):
    """Small documents under the user's prefix."""

    async def keep_request(self, user_id: str, run_id: str, request: str) -> None:
        """Writes what the person chose (JSON text)."""

    async def keep_contact(self, user_id: str, email: str) -> None:
        """Writes the person's e-mail address."""


class ChainSpoiled(Exception):
    """The run's chain cannot even begin: what lies where it begins is not ours. `failure` is what the run fails of."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class Custody(Protocol):
    """The chain of statements, as far as ingest writes it."""

    async def commitment(self, user_id: str, run_id: str, sha256: str) -> str:
        """What binds a photo's bytes in an event without revealing them; begins the run's chain when needed.

        Raises ChainSpoiled.
        """

    async def seal_upload(self, sealing: Sealing) -> str | Failure:
        """Digest of the sealed upload statement; the same again for the same content."""

    async def uploaded(
        self, user_id: str, run_id: str, statement: str, seen: datetime
    ) -> Mapping[str, SealedPhoto] | Failure:
        """The photos of a run by id, as the upload statement of that digest binds them; `seen` is when we sealed it."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """How much was deleted of a group of temporary objects."""

    what: str
    objects: int
    bytes: int
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Disposal:
    """Whose temporary objects are to go, by which type of fact (which names `statement`), and since when they are."""

    user_id: str
    run_id: str
    reason: str
    statement: str | None
    at: datetime


class Leftovers(Protocol):
    """Temporary objects of a run. A signed statement says what goes before the first one does: the same disposal again
    goes on under the same statement. What the store refuses to delete is reported as denied, not raised.
    """

    async def clear_work(self, why: Disposal) -> Sequence[Cleared]:
        """Deletes clean photos, archives and weights."""

    async def clear_originals(self, why: Disposal) -> Sequence[Cleared]:
        """Deletes originals and the person's file names; and what `clear_work` does, if there is any again."""

    async def clear_incoming(self, why: Disposal, upload: str) -> Sequence[Cleared]:
        """Deletes whatever lies in the prefix of an upload."""


class Spans(Protocol):
    """The trace of a run."""

    def finish(self, run_id: str, started_at: datetime, ended_at: datetime, outcome: str) -> None:
        """Exports the run's root span; `outcome` is the type of its terminal fact."""


class LinkUnknown(LookupError):
    """No link of ours, or not for this purpose."""


class LinkExpired(LookupError):
    """A link of ours whose time is over, or whose object is gone."""


@dataclass(frozen=True, slots=True)
class Download:
    """An object behind a link: its size, a tag that changes with its bytes, its media type."""

    key: str
    bytes: int
    tag: str
    media_type: str
    name: str


@dataclass(frozen=True, slots=True)
class WeightsTarget:
    """What a link to weights names."""

    user_id: str
    model_id: str
    key: str


@dataclass(frozen=True, slots=True)
class CallbackTarget:
    """What a callback link names."""

    user_id: str
    run_id: str
    attempt: int


class Links(Protocol):
    """Expiring links: one object or one callback, for one purpose, until a time."""

    def weights(self, user_id: str, model: Model, expires_at: datetime) -> str:
        """URL of the weights of the user's model. Raises LinkUnknown when what is stored of it names other ones."""

    def callback(self, token: str, now: datetime) -> CallbackTarget:
        """The training attempt that a callback link names. Raises LinkUnknown or LinkExpired."""

    def target(self, token: str, now: datetime) -> WeightsTarget:
        """The weights that a link names. Raises LinkUnknown or LinkExpired."""

    async def find(self, target: WeightsTarget) -> Download:
        """The object behind a link. Raises LinkExpired when it is gone."""

    def read(self, download: Download, start: int, end: int) -> AsyncIterator[bytes]:
        """Streams bytes `start` to `end` (exclusive)."""


class Archives(Protocol):
    """Sealed archives, which links give out to the training provider."""

    def named(self, token: str, now: datetime) -> Sealed | None:
        """The archive that a link is for; None for other links. Raises LinkUnknown or LinkExpired."""

    async def size(self, sealed: Sealed) -> int | None:
        """Bytes of what lies in its place; None when nothing does."""

    def read(self, sealed: Sealed) -> AsyncGenerator[bytes, None]:
        """Streams what lies in its place, at most one byte more than was sealed."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one file is put, and the headers that must come with it."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Promised:
    """What a token URL takes: bytes of this size and SHA-256, sent with these headers."""

    key: str
    bytes: int
    sha256: str
    headers: Mapping[str, str]


class NotAsAnnounced(Exception):
    """Other bytes than announced; nothing of them stays."""


class SlotTaken(Exception):
    """The file was put before."""


class Targets(Protocol):
    """Addresses at which others put single files into the incoming prefix."""

    async def address(self, slot: Slot, life: timedelta) -> Address:
        """An address for this one file, from now on for `life`."""

    def promised(self, token: str, now: datetime) -> Promised:
        """What a token URL of ours takes. Raises LinkUnknown or LinkExpired."""

    async def take(self, promised: Promised, chunks: AsyncIterator[bytes]) -> None:
        """Streams the file in. Raises NotAsAnnounced, SlotTaken."""


class AddressRefused(Exception):
    """No https address of a public server."""


class FetchFailed(Exception):
    """The file could not be fetched; `passing` when another try may help."""

    def __init__(self, *, passing: bool) -> None:
        super().__init__("passing" if passing else "final")
        self.passing = passing


class Web(Protocol):
    """Other people's web servers."""

    def read(self, url: str) -> AsyncGenerator[bytes, None]:
        """Streams what lies at a URL. Raises AddressRefused or FetchFailed."""


class SecretUnavailable(Exception):
    """The provider does not tell its webhook secret now."""


class CallbackSecrets(Protocol):
    """The provider's webhook secret."""

    async def current(self) -> bytes:
        """The key as last known. Raises SecretUnavailable."""

    async def newer(self) -> bytes | None:
        """A key read anew, or None when it was read less than a minute ago. Raises SecretUnavailable."""


class Apps(Protocol):
    """The apps that may call."""

    def named_by(self, key: str) -> str | None:
        """The name of the app whose key this is, compared in constant time."""

    def knows(self, name: str) -> bool:
        """Whether there is an app of this name."""

    def signing_keys(self, name: str) -> Sequence[bytes]:
        """The raw public keys, one of which signs the app's events; none when it sends no events."""


class Clock(Protocol):
    """Now."""

    def __call__(self) -> datetime:
        """The time, with a zone."""
