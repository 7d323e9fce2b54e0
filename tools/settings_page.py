"""The page of settings: every variable of every service, with its default, what it may be, and what it means."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lifemask.image_validator.settings import ImageValidatorSettings
from lifemask.ingest.settings import IngestSettings
from lifemask.notifier.settings import NotifierSettings
from lifemask.packager.settings import PackagerSettings
from lifemask.publisher.settings import PublisherSettings
from lifemask.runtime.settings import ServiceSettings, StoreSettings
from lifemask.trainer.settings import TrainerSettings

SETTINGS: Final[Mapping[str, type[ServiceSettings]]] = {
    "ingest": IngestSettings,
    "image-validator": ImageValidatorSettings,
    "packager": PackagerSettings,
    "trainer": TrainerSettings,
    "publisher": PublisherSettings,
    "notifier": NotifierSettings,
}
_HEAD: Final = """# Settings

What a service reads from its environment. Durations are seconds unless the name says otherwise. A wrong setting ends
the service at its start with exit code 3 and a line that names it; `lifemask doctor` tries those that lead elsewhere.
What a library reads by itself keeps its own name (`AWS_*`, `OTEL_*`). Generated from the code by `make schemas`.
"""
_COLUMNS: Final = "| variable | default | may be | meaning |\n|---|---|---|---|\n"


def page() -> str:
    """The whole document."""
    shared = {**StoreSettings.model_fields, **ServiceSettings.model_fields}
    parts = [_HEAD, "## Of every service\n", _table(ServiceSettings, shared)]
    for service, settings in SETTINGS.items():
        own = {name: field for name, field in settings.model_fields.items() if not _is(field, shared.get(name))}
        if own:
            parts += [f"## {service}\n", _table(settings, own)]
    return "\n".join(parts)


def _is(field: FieldInfo, other: FieldInfo | None) -> bool:
    return other is not None and (field.default, field.metadata) == (other.default, other.metadata)


def _table(settings: type[ServiceSettings], fields: Mapping[str, FieldInfo]) -> str:
    meanings = _meanings(settings)
    rows = (
        f"| `{_variable(name, field)}` | {_default(field)} | {_allowed(field)} | {meanings.get(name, '')} |\n"
        for name, field in fields.items()
    )
    return _COLUMNS + "".join(rows)


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"LIFEMASK_{name}".upper()


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "below the working directory"
    value: Any = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ("", (), []):
        return "none"
    if isinstance(value, Enum):
        value = value.value
    text = str(value).lower() if isinstance(value, bool) else _written(value)
    return f"`{text}`"


def _written(value: Any) -> str:
    if isinstance(value, int | float | Decimal):
        return f"{value:,}".replace(",", "_") if isinstance(value, int) and value >= 10_000 else f"{value}"
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value) if not isinstance(value, Path) else value.as_posix()


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{each}`" for each in get_args(field.annotation))
    limits = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
    found = [f"{sign} {getattr(each, name)}" for each in field.metadata for name, sign in limits if hasattr(each, name)]
    patterns = [str(pattern) for each in field.metadata if (pattern := getattr(each, "pattern", None))]
    return ", ".join(found + [f"`{pattern}`".replace("|", "\\|") for pattern in patterns])


def _meanings(settings: type[ServiceSettings]) -> dict[str, str]:
    """The text below each field, in the class and those that it is made of."""
    return {name: text for one in reversed(settings.__mro__) for name, text in _documented(one)}


def _documented(one: type[Any]) -> Iterator[tuple[str, str]]:
    if not issubclass(one, StoreSettings):
        return
    [body] = ast.parse(textwrap.dedent(inspect.getsource(one))).body
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = ""
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                text = " ".join(str(below.value.value).split()).replace("|", "\\|")
            yield field.target.id, text
