"""Fault switches: what shall go wrong, at which operation, how often.

A fault is posted to /faults as JSON, for example `{"operation": "create_training", "effect": "drop_after"}`.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lifemask.sandbox.store import Store

_TRAINING_CALLS = ("create_training", "get_training", "list_trainings", "cancel_training", "output")
_MODEL_CALLS = ("create_model", "get_model", "list_versions", "get_version", "delete_version")
_ACCOUNT_CALLS = ("webhook_secret", "account")
_REPO_CALLS = ("whoami", "create_repo", "delete_repo", "update_settings", "model_info", "list_models", "list_commits")
_COMMIT_CALLS = ("validate_yaml", "preupload", "lfs_batch", "lfs_put", "lfs_verify", "commit")
_READ_CALLS = ("paths_info", "tree", "resolve", "download")

Effect = Literal[
    "answer",
    "delay",
    "drop_before",
    "drop_after",
    "lag",
    "alter",
    "lose",
    "double",
    "forge",
    "foreign",
    "fail",
    "foreign_weights",
    "timing",
]

_ANY_CALL = frozenset(
    (*_TRAINING_CALLS, *_MODEL_CALLS, *_ACCOUNT_CALLS, *_REPO_CALLS, *_COMMIT_CALLS, *_READ_CALLS, "smtp")
)
_WHERE: dict[Effect, frozenset[str]] = {
    "answer": _ANY_CALL,
    "delay": _ANY_CALL,
    "drop_before": _ANY_CALL,
    "drop_after": _ANY_CALL,
    "lag": frozenset({"list_trainings"}),
    "alter": frozenset({"output", "download", "paths_info"}),
    "lose": frozenset({"webhook"}),
    "double": frozenset({"webhook"}),
    "forge": frozenset({"webhook"}),
    "foreign": frozenset({"webhook"}),
    "fail": frozenset({"training"}),
    "foreign_weights": frozenset({"training"}),
    "timing": frozenset({"training"}),
}


class Fault(BaseModel):
    """One switch. Faults of one operation act together: a delay and an answer make a slow refusal."""

    model_config = ConfigDict(extra="forbid")

    operation: str = Field(description="an API operation, or smtp, webhook, training")
    effect: Effect = Field(
        description="answer: refuse with `status`. delay: wait `seconds` first. drop_before: close the connection "
        "without doing it. drop_after: do it and close without an answer (a file: after half of its bytes). "
        "lag: a training is listed `seconds` after its creation. alter: other bytes or digests are returned. "
        "webhook: lose, double, forge (wrong signature), foreign (about another training). "
        "training, decided when it is created: fail with `error`, foreign_weights, timing (`queue_seconds`, `seconds`)."
    )
    times: int | None = Field(1, ge=1, description="how many calls it hits; null: until cleared")
    status: int = Field(503, ge=400, le=599, description="HTTP or SMTP status of `answer`")
    retry_after: int = Field(30, ge=0, description="seconds named by a 429")
    seconds: float | None = Field(None, ge=0, description="for delay, lag and timing")
    queue_seconds: float | None = Field(None, ge=0, description="for timing")
    error: str = Field("CUDA error: an illegal memory access was encountered", description="for fail")
    events: list[str] | None = Field(None, description="webhook events it hits (default: every)")
    hits: int = Field(0, ge=0, description="how many calls it has hit; shown, not set")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.operation not in _WHERE[self.effect]:
            raise ValueError(f"{self.effect} acts on: {', '.join(sorted(_WHERE[self.effect]))}")
        if self.effect in {"delay", "lag"} and self.seconds is None:
            raise ValueError(f"{self.effect} needs seconds")
        return self

    @property
    def is_spent(self) -> bool:
        return self.times is not None and self.hits >= self.times


class Faults:
    """The switches that are set, in the order of setting; they survive a restart like everything else."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._faults = [Fault.model_validate(raw) for raw in store.load("faults.json", [])]

    def set(self, fault: Fault) -> None:
        self._faults.append(fault)
        self._save()

    def clear(self) -> None:
        self._faults.clear()
        self._save()

    def active(self) -> list[Fault]:
        return list(self._faults)

    def take(self, operation: str, event: str | None = None) -> dict[Effect, Fault]:
        """The faults that hit this call, the oldest of each effect, each counted as hit once."""
        taken: dict[Effect, Fault] = {}
        for fault in self._faults:
            meant = fault.events is None or event in fault.events
            if fault.operation == operation and meant and fault.effect not in taken:
                taken[fault.effect] = fault
                fault.hits += 1
        if taken:
            self._faults = [fault for fault in self._faults if not fault.is_spent]
            self._save()
        return taken

    def _save(self) -> None:
        self._store.save("faults.json", [fault.model_dump() for fault in self._faults])
