"""The six steps of the chain: what each one signs, and what it keeps in a private, erasable manifest.

Beside the chain there are acts: somebody refused a run, disposed of its temporary objects, revoked its model. Signed
fields hold no personal data and outlive an erasure. Manifests hold per-photo digests and names. No floats anywhere;
integers stay below 2^53.
"""

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from lifemask.contracts import Digest, PhotoId, RunId, Verdict


class Signed(BaseModel):
    """A part of a statement or manifest: frozen, unknown members refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UploadedPhoto(Signed):
    """One original: id, SHA-256 and size in bytes, and when it was stored (RFC 3339, UTC)."""

    id: PhotoId
    sha256: Digest
    bytes: int
    at: str


class UploadFields(Signed):
    """Signed by ingest."""

    door: str
    count: int
    bytes: int
    restarted_from: RunId | None = None


class UploadManifest(Signed):
    """The set as it was submitted; `request` is the SHA-256 of request.json."""

    request: Digest
    photos: tuple[UploadedPhoto, ...]


class JudgedPhoto(Signed):
    """One photo's judgement: digest of the original, digest and size of the clean photo when it is usable."""

    id: PhotoId
    original: Digest
    clean: Digest | None = None
    bytes: int = 0
    verdicts: tuple[Verdict, ...] = ()


class ValidationFields(Signed):
    """Signed by image-validator; `policy` is the digest of all thresholds, `encoder` names what wrote the JPEGs."""

    received: int
    usable: int
    policy: Digest
    encoder: str


class ValidationManifest(Signed):
    """Every photo of the sealed set, in the order of the upload manifest."""

    pairs: tuple[JudgedPhoto, ...]


class DatasetMember(Signed):
    """One entry of the archive."""

    name: str
    sha256: Digest
    bytes: int


class DatasetFields(Signed):
    """Signed by packager."""

    members: int
    bytes: int
    format: str


class DatasetManifest(Signed):
    """The archive and its members in order."""

    archive: Digest
    members: tuple[DatasetMember, ...]


class TrainingFields(Signed):
    """Signed by trainer before the paid call."""

    provider: str
    trainer: str
    steps: int
    rank: int
    learning_rate: str


class TrainingManifest(Signed):
    """What the provider is told beyond the numbers."""

    archive_key: str
    trigger_word: str


class WeightsFields(Signed):
    """Signed by trainer; the subject is the weights file. `echo`: whether the provider's captions matched our names."""

    training: str
    version: str
    bytes: int
    fetches: int
    echo: str


class PublicationFields(Signed):
    """Signed by publisher; the subject is the weights file as it was read back from each of `read_back`."""

    model: str
    version: str
    hub_commit: str | None = None
    read_back: tuple[str, ...]


class PublicationManifest(Signed):
    """Where it was published, and the SHA-256 of what lies beside the weights: `metadata` in the store, `card` in the
    repository.
    """

    store_key: str
    metadata: Digest
    repo: str | None = None
    card: Digest | None = None


class NoManifest(Signed):
    """A step whose subject is a file of its own has no manifest."""


class RefusalFields(Signed):
    """Signed by the service that refused to go on. `reason` names the link that did not hold."""

    actor: str
    reason: str


class Gone(Signed):
    """A group of temporary objects: `what` is `original`, `clean`, `archive` …; `bytes` is the sum of their sizes."""

    what: str
    objects: int
    bytes: int


class DisposalFields(Signed):
    """Signed by ingest before the first object goes. `reason`: the type of the run's terminal fact, or `expired`."""

    actor: str
    reason: str
    gone: tuple[Gone, ...]


class RevocationFields(Signed):
    """Signed by publisher; `actor` and `reason` are the operator's."""

    actor: str
    reason: str
    model: str
    version: str


F = TypeVar("F", bound=Signed)
M = TypeVar("M", bound=Signed)


@dataclass(frozen=True, slots=True)
class Step(Generic[F, M]):
    """One link: its position in the chain (from 1), its name and its two parts.

    `file` is the subject's name for a step whose subject is a file of its own.
    """

    position: int
    name: str
    fields: type[F]
    manifest: type[M]
    file: str | None = None

    @property
    def predicate_type(self) -> str:
        """The type URI of its statements."""
        return predicate_type(self.name)


@dataclass(frozen=True, slots=True)
class Act(Generic[F]):
    """What is done about a run beside the chain: its name and its fields."""

    name: str
    fields: type[F]

    @property
    def predicate_type(self) -> str:
        """The type URI of its statements."""
        return predicate_type(self.name)


def predicate_type(name: str) -> str:
    """The type URI of the statements of a step or act."""
    return f"https://lifemask.dev/custody/{name}/v1"


AnyStep = Step[Any, Any]
AnyAct = Act[Any]

UPLOAD: Final = Step(1, "upload", UploadFields, UploadManifest)
VALIDATION: Final = Step(2, "validation", ValidationFields, ValidationManifest)
DATASET: Final = Step(3, "dataset", DatasetFields, DatasetManifest)
TRAINING: Final = Step(4, "training", TrainingFields, TrainingManifest)
WEIGHTS: Final = Step(5, "weights", WeightsFields, NoManifest, "lora.safetensors")
PUBLICATION: Final = Step(6, "publication", PublicationFields, PublicationManifest, "lora.safetensors")
STEPS: Final[tuple[AnyStep, ...]] = (UPLOAD, VALIDATION, DATASET, TRAINING, WEIGHTS, PUBLICATION)

REFUSAL: Final = Act("refusal", RefusalFields)
DISPOSAL: Final = Act("disposal", DisposalFields)
REVOCATION: Final = Act("revocation", RevocationFields)
ACTS: Final[tuple[AnyAct, ...]] = (REFUSAL, DISPOSAL, REVOCATION)


def attempts(step: AnyStep, attempt: int) -> int:
    """The attempt that a statement of `step` carries within training attempt `attempt`: until the training it is 1."""
    return 1 if step.position < TRAINING.position else attempt
