"""What the API tells, as far as a command shows it; fields that are not shown are ignored."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

OVER: Final = frozenset({"ready", "rejected", "failed", "canceled"})


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Reason(_View):
    """Why a photo cannot be used."""

    code: str
    sentence: str


class Photo(_View):
    """A photo of a run; `status` is pending, usable or rejected."""

    id: str
    name: str | None = None
    status: str
    verdicts: tuple[Reason, ...] = ()

    @property
    def why(self) -> str:
        """The sentences of its verdicts."""
        return " ".join(verdict.sentence for verdict in self.verdicts)


class Uploaded(_View):
    """What became of one uploaded file; `status` is received, duplicate or refused."""

    name: str
    photo_id: str | None = None
    status: str
    code: str | None = None
    sentence: str | None = None
    next_step: str | None = None


class Counts(_View):
    """The photos of a run in numbers; `needed` is how many more it certainly takes."""

    received: int = 0
    pending: int = 0
    usable: int = 0
    rejected: int = 0
    needed: int = 0


class Training(_View):
    """The latest training of a run."""

    steps: int | None = None
    step: int | None = None
    percent: int = 0
    trigger_word: str | None = None


class Model(_View):
    """A published model."""

    id: str
    version: str | None = None
    bytes: int | None = None
    weights_sha256: str | None = None
    hub_repo: str | None = None


class Cost(_View):
    """US dollars as decimal strings."""

    estimated: str | None = None
    billed: str | None = None


class Run(_View):
    """A run as the API shows it."""

    id: str
    name: str = ""
    status: str
    delayed: bool = False
    stage: str = "request"
    progress: int = 0
    summary: str = ""
    whose_move: str = "nobody"
    next_step: str = ""
    photos: Counts = Counts()
    training: Training = Training()
    model: Model | None = None
    cost: Cost | None = None
    attempts: tuple[dict[str, Any], ...] = ()
    timings: dict[str, str | float | None] = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether the terminal fact is known."""
        return self.status in OVER
