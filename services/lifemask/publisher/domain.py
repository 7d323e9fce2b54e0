"""What is published under which names, and what counts as published."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from lifemask.contracts import Digest, ModelId, RunId, RunRequest, UserId

BASE_MODEL: Final = "black-forest-labs/FLUX.1-dev"
"""What the trainer adapts; the licence of the weights follows from it."""
VERSION: Final = 1
"""A run makes one version of one model; starting again is a new run and a new model."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Digests of the custody statements behind the weights, in the order of the chain."""

    upload: Digest
    validation: Digest
    dataset: Digest
    training: Digest
    weights: Digest


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A signed statement as it is given to others: its file's name, and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """The statement about a publication: the digest that events name it by, and its file."""

    digest: Digest
    file: SignedFile


@dataclass(frozen=True, slots=True)
class Trained:
    """What the whole verified chain says. `weights` is the SHA-256 of the file, `bytes` its size; `photos` how many
    were trained on; `steps`, `rank` and `learning_rate` what the provider was told. `files` are the chain's statements.
    """

    request: RunRequest
    trainer: str
    steps: int
    rank: int
    learning_rate: str
    photos: int
    attempt: int
    weights: Digest
    bytes: int
    statements: Statements
    files: tuple[SignedFile, ...]


class State(StrEnum):
    """Of a publication. Forward only: a withdrawn model (its run ended without one) and a revoked model (an operator
    took it back) never come again.
    """

    INTENDED = "intended"
    PUBLISHED = "published"
    WITHDRAWING = "withdrawing"
    WITHDRAWN = "withdrawn"
    REVOKING = "revoking"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Publication:
    """Where the model of a run is put. `place` is `{version}-{epoch}`, the folder in the model store: two workers
    never write the same one. `repo` is None when models are not published on the hub, `hub_commit` until it is.
    """

    user_id: UserId
    run_id: RunId
    model_id: ModelId
    place: str
    repo: str | None = None
    hub_commit: str | None = None

    def at(self, commit: str) -> "Publication":
        """The same, with the hub's commit known."""
        return replace(self, hub_commit=commit)


@dataclass(frozen=True, slots=True)
class Revocation:
    """Why a model was taken back, in words without personal data, and who decided it."""

    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Known:
    """A publication as it is stored. `publication.place` is set when everything was read back and equal, and is
    empty before; from then on the place never changes, so that a redelivery seals the same bytes. `revocation` is set
    in the states `revoking` and `revoked`.
    """

    publication: Publication
    state: State
    revocation: Revocation | None = None

    @property
    def is_checked(self) -> bool:
        return bool(self.publication.place)


@dataclass(frozen=True, slots=True)
class Intended:
    """Row: from now on something of this may lie in store or hub. Stored before the first outside write."""

    publication: Publication


@dataclass(frozen=True, slots=True)
class Checked:
    """Row: store and hub were read back and hold the trained weights."""

    publication: Publication


@dataclass(frozen=True, slots=True)
class Published:
    """Row: announced. Has no effect on a publication that is being withdrawn."""

    user_id: UserId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """Row: the run ended without a model; whatever lies outside has to go."""

    user_id: UserId
    run_id: RunId
    model_id: ModelId


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Row: store and hub hold nothing of it any more."""

    user_id: UserId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class Revoking:
    """Row: from now on nothing of the run is published any more. The first revocation's words stay."""

    user_id: UserId
    run_id: RunId
    revocation: Revocation


@dataclass(frozen=True, slots=True)
class Revoked:
    """Row: store and hub hold nothing of it any more, and that is signed and told."""

    user_id: UserId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class HubNames:
    """How repositories are called; no namespace means that models are not published on the hub."""

    namespace: str = ""
    prefix: str = "lora"

    def repo(self, model_id: ModelId) -> str | None:
        """`{namespace}/{prefix}-{model id}`. The whole id: a shortened one could be another person's, too."""
        return f"{self.namespace}/{self.prefix}-{model_id}" if self.namespace else None


def model_of(user_id: UserId, run_id: RunId) -> ModelId:
    """The model of a run, a UUIDv7: the run's time, then a digest of user and run.

    Derived, so that a redelivery publishes the same model and an ended run can be withdrawn without a look-up. The
    user is part of it because apps mint run ids.
    """
    time = bytes.fromhex(run_id.replace("-", "")[:12])
    value = bytearray(time + hashlib.sha256(f"model:{user_id}:{run_id}".encode()).digest()[:10])
    value[6] = (value[6] & 0x0F) | 0x70
    value[8] = (value[8] & 0x3F) | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def plan(user_id: UserId, run_id: RunId, epoch: int, names: HubNames) -> Publication:
    """The publication of a run by the holder of the fence `epoch`."""
    model_id = model_of(user_id, run_id)
    return Publication(user_id, run_id, model_id, f"{VERSION}-{epoch}", names.repo(model_id))


def metadata(publication: Publication, trained: Trained, at: datetime) -> bytes:
    """metadata.json beside the weights: UTF-8 JSON, sorted, the same bytes for the same model and place."""
    request = trained.request
    document = {
        "model_id": publication.model_id,
        "run_id": publication.run_id,
        "version": publication.place,
        "created_at": at.isoformat(timespec="seconds"),
        "name": request.name,
        "description": request.description,
        "trigger_word": request.trigger_word,
        "metadata": request.metadata,
        "base_model": BASE_MODEL,
        "trainer": trained.trainer,
        "parameters": {"steps": trained.steps, "learning_rate": trained.learning_rate, "rank": trained.rank},
        "photos": trained.photos,
        "weights": {"file": "lora.safetensors", "sha256": trained.weights, "bytes": trained.bytes},
        "statements": {
            "upload": trained.statements.upload,
            "validation": trained.statements.validation,
            "dataset": trained.statements.dataset,
            "training": trained.statements.training,
            "weights": trained.statements.weights,
        },
        "hub_repo": publication.repo,
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=2).encode() + b"\n"
