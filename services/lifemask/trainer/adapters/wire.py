"""A training as the provider's API shows it, read so that nothing unexpected breaks a page of them.

The client's own model raises on the status `aborted` and drops `metrics`.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from lifemask.trainer.domain.training import Training, read_progress


def _or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


def _decimal(value: Any) -> Any:
    """A JSON number by its shortest text, so that 682.1 is 682.1."""
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _zoned(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


_Text = Annotated[str | None, WrapValidator(_or_none)]
_Time = Annotated[Annotated[datetime, AfterValidator(_zoned)] | None, WrapValidator(_or_none)]
_Seconds = Annotated[
    Annotated[Decimal, Field(ge=0, lt=10**7)] | None, BeforeValidator(_decimal), WrapValidator(_or_none)
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Input(_Part):
    input_images: _Text = None


class _Output(_Part):
    version: _Text = None
    weights: _Text = None


class _Metrics(_Part):
    predict_time: _Seconds = None


class WireTraining(_Part):
    """What we read of it. Only `id` and `status` must be there; anything else that is odd counts as absent."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")
    status: str = Field(max_length=64)
    created_at: _Time = None
    started_at: _Time = None
    completed_at: _Time = None
    input: Annotated[_Input | None, WrapValidator(_or_none)] = None
    logs: _Text = None
    output: Annotated[_Output | None, WrapValidator(_or_none)] = None
    metrics: Annotated[_Metrics | None, WrapValidator(_or_none)] = None


def read_training(raw: Any) -> Training:
    """The training in a JSON value. Raises ValueError (pydantic's) when it has no usable id or status."""
    wire = WireTraining.model_validate(raw)
    return Training(
        id=wire.id,
        status=wire.status,
        created_at=wire.created_at,
        started_at=wire.started_at,
        completed_at=wire.completed_at,
        archive_path=_path(wire.input.input_images if wire.input else None),
        progress=read_progress(wire.logs or ""),
        weights_url=wire.output.weights if wire.output else None,
        version=wire.output.version if wire.output else None,
        predict_seconds=wire.metrics.predict_time if wire.metrics else None,
    )


def _path(url: str | None) -> str | None:
    try:
        return urlsplit(url).path if url else None
    except ValueError:
        return None
