"""What all events have in common."""

from enum import StrEnum
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from lifemask.contracts.ids import RunId, UserId
from lifemask.contracts.topics import Topic


class Stage(StrEnum):
    """The step of a run. Exactly one holds the run at any time."""

    REQUEST = "request"
    VALIDATE = "validate"
    PACKAGE = "package"
    TRAIN = "train"
    PUBLISH = "publish"
    NOTIFY = "notify"


class Baton(StrEnum):
    """What an event says about who holds the run."""

    FREE = "free"
    """Independent of the holder: published whenever it happened."""
    HELD = "held"
    """Published by the holder only, which keeps the run."""
    PASSES = "passes"
    """Hands the run to the next service."""
    ENDS = "ends"
    """The run's one terminal fact."""


class Value(BaseModel):
    """A frozen part of an event. Producers forbid unknown fields; consumers read with `read`, which ignores them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def read(cls, body: bytes) -> Self:
        """The value in a JSON document, unknown fields ignored. Raises pydantic's ValidationError."""
        return cls.model_validate_json(body, extra="ignore")

    @classmethod
    def example(cls) -> Self:
        """An instance built from the example of every field, as the published examples show it."""
        return cls.model_validate({name: _example_of(field) for name, field in cls.model_fields.items()})


class Event(Value):
    """A fact that happened, without personal data: ids, counts, codes, digests of statements."""

    ce_type: ClassVar[str]
    """`lifemask.<subject>.<fact>.v<version>`, the CloudEvents type."""
    topic: ClassVar[Topic]
    baton: ClassVar[Baton] = Baton.FREE

    user_id: UserId

    def body(self) -> bytes:
        """The event as it travels: UTF-8 JSON, absent optional fields left out."""
        return self.model_dump_json(exclude_none=True).encode()


class RunEvent(Event):
    """A fact about one run of one user."""

    run_id: RunId

    @property
    def run(self) -> dict[str, str]:
        """`user_id` and `run_id`, to be passed on to the next event of the same run."""
        return {"user_id": self.user_id, "run_id": self.run_id}


def _example_of(field: FieldInfo) -> Any:
    if field.examples:
        return field.examples[0]
    inner = _value_type(field.annotation)
    if inner is not None:
        example = inner.example().model_dump()
        return (example,) if get_origin(field.annotation) is tuple else example
    if field.is_required():
        raise ValueError(f"a required field has no example: {field.annotation}")
    return field.get_default(call_default_factory=True)


def _value_type(annotation: Any) -> type[Value] | None:
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return annotation
    if get_origin(annotation) is tuple or isinstance(annotation, UnionType):
        return next((found for part in get_args(annotation) if (found := _value_type(part))), None)
    return None


__all__ = ["Baton", "Event", "RunEvent", "Stage", "ValidationError", "Value"]
