"""One byte range of an object (RFC 9110): what a `Range` header asks for."""

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class NotSatisfiable(ValueError):
    """The range begins behind the object's end."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end` (exclusive)."""

    start: int
    end: int


def span_of(header: str | None, size: int) -> Span | None:
    """The range asked for of an object of `size` bytes; None for the whole object.

    Several ranges or an unknown unit are answered with the whole object, as the RFC allows. Raises NotSatisfiable.
    """
    found = _RANGE.fullmatch((header or "").strip())
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        return _span(max(0, size - int(last)), size, size)
    if last and int(last) < int(first):
        return None
    return _span(int(first), min(size, int(last) + 1) if last else size, size)


def _span(start: int, end: int, size: int) -> Span:
    if start >= size:
        raise NotSatisfiable(size)
    return Span(start, end)
