"""What the trainer accepts as input: types, ranges and formats, and what it says when they are wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Problem:
    field: str
    type: str
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """An integer (`whole`) or a number within [least, most]; None is open."""

    whole: bool
    least: float
    most: float | None = None

    def problem(self, name: str, value: Any) -> Problem | None:
        kinds = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            expected = "integer" if self.whole else "number"
            return Problem(name, "invalid_type", f"Invalid type. Expected: {expected}, given: {_kind(value)}")
        if value < self.least:
            return Problem(name, "number_gte", f"Must be greater than or equal to {self.least:g}")
        if self.most is not None and value > self.most:
            return Problem(name, "number_lte", f"Must be less than or equal to {self.most:g}")
        return None


NUMBERS: Mapping[str, Range] = {
    "steps": Range(whole=True, least=3, most=6000),
    "lora_rank": Range(whole=True, least=1, most=128),
    "batch_size": Range(whole=True, least=1),
    "learning_rate": Range(whole=False, least=0),
    "caption_dropout_rate": Range(whole=False, least=0, most=1),
}
FLAGS = ("autocaption", "cache_latents_to_disk", "gradient_checkpointing")
TEXTS = ("trigger_word", "resolution", "optimizer", "autocaption_prefix", "autocaption_suffix")


def find_problems(values: Mapping[str, Any]) -> list[Problem]:
    """Everything wrong with a training's input, in a stable order; unknown fields are ignored as the real one does."""
    if "input_images" not in values:
        found: list[Problem | None] = [Problem("", "required", "input_images is required")]
    else:
        found = [_address(values["input_images"])]
    found += [limits.problem(name, values[name]) for name, limits in NUMBERS.items() if name in values]
    found += [_typed(name, values[name], bool, "boolean") for name in FLAGS if name in values]
    found += [_typed(name, values[name], str, "string") for name in TEXTS if name in values]
    return [problem for problem in found if problem is not None]


def _address(value: Any) -> Problem | None:
    if problem := _typed("input_images", value, str, "string"):
        return problem
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return Problem("input_images", "format", "Does not match format 'uri'")
    return None


def _typed(name: str, value: Any, kind: type, expected: str) -> Problem | None:
    if isinstance(value, kind):
        return None
    return Problem(name, "invalid_type", f"Invalid type. Expected: {expected}, given: {_kind(value)}")


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
