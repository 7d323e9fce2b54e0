"""What a weights file must be: safetensors with the names, types and sizes of a LoRA, nothing hidden in between."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final, Literal

MAX_HEADER: Final = 1 << 20
"""Bytes. A FLUX LoRA's header is about 100 KB; a larger one is an attack on whoever parses it."""
LENGTH_BYTES: Final = 8
"""A safetensors file starts with the length of its header, little-endian."""

_DTYPES: Final = {"F16": 2, "BF16": 2, "F32": 4}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,250}\.(?:lora_(?:A|B|down|up)(?:\.default)?\.weight|alpha)")
_MOST_DIMENSIONS: Final = 8

Echo = Literal["matched", "unbound"]
_OUR_NAME: Final = re.compile(r"[0-9a-f]{8}-[0-9]{2,}")
"""A name of an archive's image without its ending: the run's nonce and a number."""


class UnsafeWeights(ValueError):
    """The provider's output is not what a trainer leaves. The text is a fixed phrase, nothing of the output."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Weights in our store: SHA-256, size in bytes, and the stems of the caption files that came with them."""

    sha256: str
    bytes: int
    captions: frozenset[str]


def header_length(prefix: bytes, file_bytes: int) -> int:
    """Length of the header that follows the first 8 bytes. Raises UnsafeWeights."""
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER:
        raise UnsafeWeights("header too large")
    if length < 2 or LENGTH_BYTES + length > file_bytes:
        raise UnsafeWeights("header length wrong")
    return length


def check_header(header: bytes, file_bytes: int) -> None:
    """Tensors follow each other without gap or overlap and fill a file of `file_bytes`. Raises UnsafeWeights."""
    tensors = dict(_parse(header))
    metadata = tensors.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UnsafeWeights("metadata malformed")
    if not tensors:
        raise UnsafeWeights("no tensors")
    spans = sorted(_span(name, tensor) for name, tensor in tensors.items())
    end = 0
    for start, stop in spans:
        if start != end:
            raise UnsafeWeights("tensors not contiguous")
        end = stop
    if LENGTH_BYTES + len(header) + end != file_bytes:
        raise UnsafeWeights("length differs from header")


def _parse(header: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(header, object_pairs_hook=_unique)
    except UnsafeWeights:
        raise
    except (ValueError, RecursionError):
        raise UnsafeWeights("header unreadable") from None
    if not isinstance(parsed, dict):
        raise UnsafeWeights("header unreadable")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnsafeWeights("names repeated")
    return found


def _span(name: str, tensor: Any) -> tuple[int, int]:
    if not _NAME.fullmatch(name):
        raise UnsafeWeights("tensor name not allowed")
    match tensor:
        case {"dtype": str() as dtype, "shape": list() as shape, "data_offsets": [int() as start, int() as stop]}:
            pass
        case _:
            raise UnsafeWeights("tensor malformed")
    if len(tensor) != 3 or dtype not in _DTYPES:
        raise UnsafeWeights("tensor type not allowed")
    if len(shape) > _MOST_DIMENSIONS or not all(type(size) is int and 0 < size < 1 << 40 for size in shape):
        raise UnsafeWeights("tensor malformed")
    if stop - start != prod(shape) * _DTYPES[dtype]:
        raise UnsafeWeights("tensor size wrong")
    return start, stop


def is_of_another_archive(captions: Collection[str], images: Collection[str]) -> bool:
    """Whether the captions bear names as we give them, and none of those that went out: another run's."""
    return bool(captions) and set(images).isdisjoint(captions) and all(map(_OUR_NAME.fullmatch, captions))


def echo_of(captions: Collection[str], images: Collection[str]) -> Echo:
    """Whether the captions that came back bear the names of the images that went out."""
    return "matched" if images and set(captions) == set(images) else "unbound"
