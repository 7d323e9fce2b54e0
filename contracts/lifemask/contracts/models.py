"""Topic `lifemask.models`: what downstream systems subscribe to."""

from typing import ClassVar, Final

from pydantic import Field

from lifemask.contracts.event import Baton, RunEvent
from lifemask.contracts.ids import NAME_PATTERN, Digest, ModelId
from lifemask.contracts.topics import Topic

LINE_PATTERN: Final = r"^[^@\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
"""One line, and no e-mail address."""


class ModelReady(RunEvent):
    """Terminal: the model is published, and what was published was read back and compared."""

    ce_type: ClassVar[str] = "lifemask.model.ready.v1"
    topic: ClassVar[Topic] = Topic.MODELS
    baton: ClassVar[Baton] = Baton.ENDS

    model_id: ModelId
    statement: Digest
    """SHA-256 of the publication statement, the last link of the run's chain of custody."""
    version: str = Field(pattern=r"^[0-9]+-[0-9]+$", examples=["1-3"])
    """Version in the model store: the model's version, a hyphen, the number of the attempt to write it."""
    weights: Digest
    """SHA-256 of the weights file, the same in store and hub."""
    bytes: int = Field(ge=1, examples=[172_000_000])
    """Size of the weights in bytes."""
    store_key: str = Field(
        max_length=512, examples=["users/acme.user-42/models/0192f7a0-3333-7d3e-8f40-5a6b7c8d9e0f/1-3/lora.safetensors"]
    )
    """Key of the weights in the model store; `metadata.json` lies in the same folder."""
    hub_repo: str | None = Field(default=None, max_length=200, examples=["lifemask/lora-0192f7a0"])
    """The private repository on the model hub; absent when not published there."""
    hub_commit: str | None = Field(default=None, max_length=64, examples=["b1946ac92492d2347c6235b4d2611184b1946ac9"])
    """The commit of that repository that holds the weights."""


class ModelRevocationRequested(RunEvent):
    """An operator wants the model withdrawn for good: what is published of it goes, nothing of its run comes again."""

    ce_type: ClassVar[str] = "lifemask.model.revocation-requested.v1"
    topic: ClassVar[Topic] = Topic.MODELS

    model_id: ModelId
    reason: str = Field(
        min_length=3, max_length=500, pattern=LINE_PATTERN, examples=["The photos were another person's."]
    )
    """Why, in one line without personal data: the owner, subscribers and auditors read it. It can hold no `@`."""
    actor: str = Field(pattern=NAME_PATTERN, examples=["operator"])
    """Who decided: a role or an operator's id."""


class ModelRevoked(RunEvent):
    """The model was withdrawn; stop using it."""

    ce_type: ClassVar[str] = "lifemask.model.revoked.v1"
    topic: ClassVar[Topic] = Topic.MODELS

    model_id: ModelId
    reason: str = Field(max_length=500, examples=["The owner asked for it."])
    """Why, in words without personal data."""
    actor: str = Field(max_length=64, examples=["operator"])
    """Who decided: a role or an operator's id."""
